"""``sycoca explain``: what a model looks at, and what it imagines behind a mask, as a picture."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from sycoca.inference.model_options import ModelOptions

if TYPE_CHECKING:
    from sycoca.inference.explanation import Explanation


@dataclass(frozen=True, kw_only=True, slots=True)
class ExplainArguments:
    """See which patches match a caption and its words, what training would hide, and the reconstruction."""

    weights: Positional[str]
    """A weights folder, or hf:owner/name[@revision] at the Hugging Face Hub."""

    image: Positional[Path]
    """An image file."""

    caption: Positional[str]
    """What to look for in it."""

    out: Path
    """The picture to write: *.png, *.pdf or *.svg."""

    model: ModelOptions = field(default_factory=ModelOptions)
    """On what it runs."""


def run(arguments: list[str]) -> int:
    """Write the picture, say its name."""
    import tyro

    options = tyro.cli(ExplainArguments, prog="sycoca explain", args=arguments, config=(tyro.conf.OmitArgPrefixes,))
    from sycoca.reports.explain_picture import check_picture_name, save_explanation

    check_picture_name(options.out)
    explanation: Explanation = options.model.load(options.weights).explain(options.image, options.caption)
    save_explanation(explanation, options.out)
    print(options.out)
    return 0
