"""``sycoca data filter``: keep the pairs of a data set that a model finds to fit."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from sycoca.cli.shared.logs import stderr_console
from sycoca.inference.model_options import ModelOptions

if TYPE_CHECKING:
    from sycoca.evaluation.filter_pairs import FilterResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """Keep the captions that fit their image. Without a minimum, scores and their spread show which one to choose."""

    spec: tyro.conf.Positional[str]
    """The data, whose images are files."""

    weights: str
    """The weights folder of the model that scores them."""

    min_similarity: float | None = None
    """Least cosine of image and caption, between -1 and 1."""

    min_log_likelihood: float | None = None
    """Least mean log-probability of a caption's tokens, 0 or less."""

    out: Path | None = None
    """Write what is kept to this *.jsonl, one line per image; images that keep no caption are not in it."""

    scores: Path | None = None
    """Write every pair's scores to this file, one JSON object a line, batch by batch."""

    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """Resume --scores with the pairs that it does not have yet: of the same data, scored by the same weights."""

    max_skipped_ratio: float = 0.0
    """Largest fraction of the samples that may be left out because they cannot be read."""

    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print counts and spread as JSON."""

    model: tyro.conf.OmitArgPrefixes[ModelOptions] = field(default_factory=ModelOptions)
    """On what it runs."""


def run(command: Filter) -> int:
    """Score, filter, write and say what happened; counts go to stdout, progress to stderr."""
    from sycoca.evaluation.filter_pairs import filter_pairs

    result = filter_pairs(
        command.weights,
        command.spec,
        min_similarity=command.min_similarity,
        min_log_likelihood=command.min_log_likelihood,
        out=command.out,
        scores=command.scores,
        resume=command.resume,
        max_skipped_ratio=command.max_skipped_ratio,
        model=command.model,
        console=stderr_console(),
    )
    if command.json:
        print(result.to_json())
    else:
        _print_tables(result)
    return 0


def _print_tables(result: "FilterResult") -> None:
    from rich.console import Console
    from rich.table import Table

    counts = Table("count", "value", title="filter", title_justify="left")
    for name, count in result.counts.items():
        counts.add_row(name, f"{count:,}")
    spread = Table("captions below", *result.quantiles)
    for percent in next(iter(result.quantiles.values())):
        spread.add_row(percent, *(f"{values[percent]:.3f}" for values in result.quantiles.values()))
    console = Console()
    console.print(counts)
    console.print(spread)
