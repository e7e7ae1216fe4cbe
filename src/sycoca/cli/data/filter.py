"""``sycoca data filter``: keep the captions that match their image."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from sycoca.cli.shared.logs import stderr_console
from sycoca.cli.shared.results import counted, tell
from sycoca.inference.model_options import ModelOptions

if TYPE_CHECKING:
    from sycoca.evaluation.filter_pairs import FilterResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Keep the captions that match their image, by the scores of a model.

    Without a minimum nothing is filtered: the distribution of the scores shows which minimum to choose.
    """

    spec: Positional[str]
    """The data, as a SPEC; its images must be files."""

    weights: str
    """Weights of the scoring model: a folder, or hf:owner/name[@revision] on the Hugging Face Hub."""

    min_similarity: float | None = None
    """Minimum cosine similarity of image and caption, between -1 and 1."""

    min_log_likelihood: float | None = None
    """Minimum log-likelihood of the caption per token, at most 0."""

    out: Annotated[Path | None, arg(metavar="FILE.jsonl")] = None
    """Write the captions that are kept to this .jsonl file, one line per image that keeps any."""

    scores: Annotated[Path | None, arg(metavar="FILE.jsonl")] = None
    """Write the scores of every pair to this file, one JSON object per line, batch by batch."""

    resume: bool = False
    """Score only the pairs that --scores does not have yet; data and weights must be the same."""

    overwrite: bool = False
    """Replace --out if it exists, and --scores unless they are resumed."""

    max_skipped_ratio: float = 0.0
    """Largest fraction of unreadable samples to skip. 0 makes the first one an error."""

    json: bool = False
    """Print counts and quantiles as JSON."""

    model: ModelOptions = field(default_factory=ModelOptions)
    """Device and precision."""

    def run(self) -> int:
        """Score and filter; counts go to stdout, progress to stderr."""
        from sycoca.evaluation.filter_pairs import filter_pairs

        result = filter_pairs(
            self.weights,
            self.spec,
            min_similarity=self.min_similarity,
            min_log_likelihood=self.min_log_likelihood,
            out=self.out,
            scores=self.scores,
            resume=self.resume,
            overwrite=self.overwrite,
            max_skipped_ratio=self.max_skipped_ratio,
            model=self.model,
            console=stderr_console(),
        )
        if self.json:
            print(result.to_json())
        else:
            _print_tables(result)
        self._tell(result.counts)
        return 0

    def _tell(self, counts: Mapping[str, int]) -> None:
        if self.scores is not None:
            tell(f"scores of {counted(counts['captions'], 'caption')}", self.scores)
        if self.out is not None:
            images, captions = counted(counts["kept_images"], "image"), counted(counts["kept_captions"], "caption")
            tell(f"{images} with {captions}", self.out)


def _print_tables(result: "FilterResult") -> None:
    from rich.console import Console
    from rich.table import Table

    from sycoca.terminal import show_table

    counts = Table("count", "value", title="filter", title_justify="left")
    for name, count in result.counts.items():
        counts.add_row(name, f"{count:,}")
    spread = Table("captions below", *result.quantiles)
    for percent in next(iter(result.quantiles.values())):
        spread.add_row(percent, *(f"{values[percent]:.3f}" for values in result.quantiles.values()))
    console = Console()
    show_table(console, counts)
    show_table(console, spread)
