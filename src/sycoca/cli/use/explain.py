"""``sycoca explain``: draw what a caption adds to the scores of patches, and reconstructions of masked ones."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from sycoca.cli.shared.results import print_path
from sycoca.inference.model_options import ModelOptions
from sycoca.outputs.output import Output, claimed

if TYPE_CHECKING:
    from sycoca.inference.explaining.explanation import Explanation


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Draw which patches match a caption and each of its words, beside what they score without it; masks and
    reconstructions."""

    weights: Positional[str]
    """A weights folder, or hf:owner/name[@revision] on the Hugging Face Hub."""

    image: Positional[Path]
    """An image file."""

    caption: Positional[Annotated[str | None, arg(metavar="[CAPTION]")]] = None
    """The caption, as one argument: "a red circle". By default the one that the model generates."""

    out: Annotated[Path, arg(metavar="FILE.png")]
    """The file to write: a figure (.png, .pdf, .svg), or all maps and numbers (.json)."""

    edited_caption: Annotated[str | None, arg(metavar="CAPTION")] = None
    """Also reconstruct the masked patches under this caption."""

    other_captions: Annotated[tuple[str, ...] | None, arg(metavar="CAPTION...")] = None
    """Captions to compare scores and rank with, each as one argument. By default 24 of photos and of shapes."""

    overwrite: bool = False
    """Replace --out if it exists."""

    model: ModelOptions = field(default_factory=ModelOptions)
    """Device and precision."""

    def run(self) -> int:
        """Write the figure or the JSON and print its path on stdout."""
        from sycoca.reports.explain.picture import PICTURE_SUFFIXES, save_explanation

        inputs = (Path(self.weights), self.image)
        with claimed(Output(path=self.out, suffixes=PICTURE_SUFFIXES, inputs=inputs, overwrite=self.overwrite)):
            predictor = self.model.load(self.weights)
            explanation: Explanation = predictor.explain(
                self.image, self.caption, other_captions=self.other_captions, edited_caption=self.edited_caption
            )
            save_explanation(explanation, self.out)
        print_path("explanation", self.out)
        return 0
