"""``sycoca explain``: draw patch scores and the reconstruction of masked patches."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from sycoca.cli.shared.results import print_path
from sycoca.inference.model_options import ModelOptions
from sycoca.outputs.output import Output, claimed

if TYPE_CHECKING:
    from sycoca.inference.explanation import Explanation


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Draw the similarity of patches to a caption and each of its words, attentive masks, and the reconstruction."""

    weights: Positional[str]
    """A weights folder, or hf:owner/name[@revision] on the Hugging Face Hub."""

    image: Positional[Path]
    """An image file."""

    caption: Positional[Annotated[str, arg(metavar="CAPTION")]]
    """The caption, as one argument: "a red circle"."""

    out: Annotated[Path, arg(metavar="FILE.png")]
    """The figure to write: .png, .pdf or .svg."""

    overwrite: bool = False
    """Replace --out if it exists."""

    model: ModelOptions = field(default_factory=ModelOptions)
    """Device and precision."""

    def run(self) -> int:
        """Draw the figure and print its path on stdout."""
        from sycoca.reports.explain_picture import PICTURE_SUFFIXES, save_explanation

        with claimed(Output(path=self.out, suffixes=PICTURE_SUFFIXES, inputs=(self.image,), overwrite=self.overwrite)):
            explanation: Explanation = self.model.load(self.weights).explain(self.image, self.caption)
            save_explanation(explanation, self.out)
        print_path("figure", self.out)
        return 0
