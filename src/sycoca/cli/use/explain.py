"""``sycoca explain``: draw patch scores and the reconstruction of masked patches."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from sycoca.inference.model_options import ModelOptions

if TYPE_CHECKING:
    from sycoca.inference.explanation import Explanation


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Draw which patches match a caption and each of its words, which of them attentive masking would mask, and their
    reconstruction.
    """

    weights: Positional[str]
    """A weights folder, or hf:owner/name[@revision] on the Hugging Face Hub."""

    image: Positional[Path]
    """An image file."""

    caption: Positional[Annotated[str, arg(metavar="CAPTION")]]
    """The caption, as one argument: "a red circle"."""

    out: Annotated[Path, arg(metavar="FILE.png")]
    """The picture to write: .png, .pdf or .svg."""

    model: ModelOptions = field(default_factory=ModelOptions)
    """Device and precision."""

    def run(self) -> int:
        """Draw the picture; its name goes to stdout."""
        from sycoca.reports.explain_picture import check_picture_name, save_explanation

        check_picture_name(self.out)
        explanation: Explanation = self.model.load(self.weights).explain(self.image, self.caption)
        save_explanation(explanation, self.out)
        print(self.out)
        return 0
