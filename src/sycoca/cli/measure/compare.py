"""``sycoca compare``: reports beside each other, with intervals and paired differences."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from sycoca.cli.shared.results import show

if TYPE_CHECKING:
    from rich.console import Console

    from sycoca.evaluation.comparison import Comparison


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareArguments:
    """Compare reports of one task, as --out of sycoca evaluate and sycoca score writes them.

    Every metric gets a 95 % interval (percentile bootstrap over test items, 2,000 resamples; captions of one image are
    drawn together), and its difference to the first report gets one on the items that both reports have, matched by
    key: the same resamples for both, so what is hard for both does not count as noise.
    """

    reports: Positional[tuple[Path, ...]]
    """Report files; the others are compared with the first."""

    out: Path | None = None
    """Write the comparison to this file as JSON."""

    json: bool = False
    """Print the comparison as JSON instead of a table."""

    seed: int = 0
    """Of the resamples."""


def run(arguments: list[str]) -> int:
    """Compare and show."""
    import tyro

    options = tyro.cli(CompareArguments, prog="sycoca compare", args=arguments, config=(tyro.conf.OmitArgPrefixes,))
    from rich.console import Console

    from sycoca.evaluation.comparison import compare_reports
    from sycoca.evaluation.report import Report

    if len(options.reports) < 2:
        raise ValueError("name at least two reports; sycoca evaluate ... --out FILE writes one")
    names = _short_names(options.reports)
    reports = {name: Report.load(path) for name, path in zip(names, options.reports, strict=True)}
    comparison = compare_reports(reports, seed=options.seed, console=Console(stderr=True))
    show(
        comparison,
        "comparison",
        out=options.out,
        as_json=options.json,
        print_table=lambda console: _print_tables(comparison, console),
    )
    return 0


def _print_tables(comparison: "Comparison", console: "Console") -> None:
    from sycoca.evaluation.comparison_table import comparison_tables, legend

    for table in comparison_tables(comparison):
        console.print(table)
    for line in legend(comparison):
        console.print(line, style="dim", highlight=False)


def _short_names(paths: tuple[Path, ...]) -> list[str]:
    """Return what tells paths apart: names of files, or as many folders before them as it takes.

    Raises ValueError where a file is named twice.
    """
    parts = [path.resolve().with_suffix("").parts for path in paths]
    if len(set(parts)) != len(parts):
        raise ValueError("a report is named twice")
    length = 1
    while len({part[-length:] for part in parts}) != len(parts):
        length += 1
    return ["/".join(part[-length:]) for part in parts]
