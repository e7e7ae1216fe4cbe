"""``sycoca compare``: compare reports, with confidence intervals and paired differences."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from sycoca.cli.shared.results import show

if TYPE_CHECKING:
    from rich.console import Console

    from sycoca.evaluation.comparison import Comparison


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Compare reports of one task, which sycoca evaluate and sycoca score write with --out.

    Every metric gets a 95 % confidence interval (percentile bootstrap over test items, 2,000 resamples; the captions of
    an image are resampled together). Its difference to the first report gets a paired interval: both reports are
    resampled alike, over the items that both have.
    """

    reports: Positional[tuple[Path, ...]]
    """Two or more report files; the first is the baseline."""

    out: Annotated[Path | None, arg(metavar="FILE.json")] = None
    """Write the comparison to this JSON file."""

    json: bool = False
    """Print the comparison as JSON instead of a table."""

    seed: int = 0
    """Seed of the bootstrap."""

    def run(self) -> int:
        """Compare, and save or print the comparison."""
        from sycoca.cli.shared.logs import stderr_console
        from sycoca.evaluation.comparison import compare_reports
        from sycoca.evaluation.report import Report

        if len(self.reports) < 2:
            raise ValueError("name at least two reports; sycoca evaluate ... --out FILE writes one")
        names = _short_names(self.reports)
        reports = {name: Report.load(path) for name, path in zip(names, self.reports, strict=True)}
        comparison = compare_reports(reports, seed=self.seed, console=stderr_console())
        show(
            comparison,
            "comparison",
            out=self.out,
            as_json=self.json,
            print_table=lambda console: _print_tables(comparison, console),
        )
        return 0


def _print_tables(comparison: "Comparison", console: "Console") -> None:
    from sycoca.evaluation.comparison_table import comparison_tables, legend
    from sycoca.terminal import say

    for table in comparison_tables(comparison):
        console.print(table)
    for line in legend(comparison):
        say(console, line, style="dim", soft_wrap=False)


def _short_names(paths: tuple[Path, ...]) -> list[str]:
    """Return distinct labels of paths: file names, with as many parent folders as needed.

    Raises ValueError where a file is named twice.
    """
    parts = [path.resolve().with_suffix("").parts for path in paths]
    if len(set(parts)) != len(parts):
        raise ValueError("a report is named twice")
    length = 1
    while len({part[-length:] for part in parts}) != len(parts):
        length += 1
    return ["/".join(part[-length:]) for part in parts]
