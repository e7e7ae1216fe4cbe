"""``sycoca compare``: compare reports, with confidence intervals and paired differences."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from sycoca.cli.shared.results import show
from sycoca.outputs.output import Output, claimed

if TYPE_CHECKING:
    from rich.console import Console

    from sycoca.evaluation.comparison import Comparison


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Compare reports of one task, which sycoca evaluate and sycoca score write with --out.

    Every metric gets a 95 % confidence interval (percentile bootstrap over test items, 2,000 resamples; the captions of
    an image are resampled together). Its difference to the first row gets a paired interval: both rows are resampled
    alike, over the items that both have. Another seed of the same training may differ more than other test items: name
    the reports of several seeds as one row, as in coca=a.json,b.json sycoca=c.json,d.json, and every metric and
    difference also gets an interval over seeds (Student's t, Welch's).
    """

    reports: Positional[tuple[str, ...]]
    """Two or more rows; the first is the baseline. A row is a report file, or NAME=FILE,FILE for several seeds."""

    out: Annotated[Path | None, arg(metavar="FILE.json")] = None
    """Write the comparison to this JSON file."""

    overwrite: bool = False
    """Replace --out if it exists."""

    json: bool = False
    """Print the comparison as JSON instead of a table."""

    seed: int = 0
    """Seed of the bootstrap."""

    def __post_init__(self) -> None:
        if len(self.reports) < 2:
            raise ValueError("name at least two reports; sycoca evaluate ... --out FILE writes one")

    def run(self) -> int:
        """Compare, and save or print the comparison."""
        from sycoca.cli.shared.logs import stderr_console
        from sycoca.evaluation.comparison import compare_reports
        from sycoca.evaluation.report import Report

        rows = _rows(self.reports)
        inputs = tuple(path for paths in rows.values() for path in paths)
        with claimed(None if self.out is None else Output(path=self.out, inputs=inputs, overwrite=self.overwrite)):
            reports = {name: [Report.load(path) for path in paths] for name, paths in rows.items()}
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
    from sycoca.terminal import say, show_table

    for table in comparison_tables(comparison):
        show_table(console, table)
    for line in legend(comparison):
        say(console, line, style="dim", width=console.width)


def _rows(arguments: Sequence[str]) -> dict[str, list[Path]]:
    """Return the files of every row by its name.

    Raises ValueError for a file or a name that stands twice, and for a row without files.
    """
    named = [_named_row(argument) for argument in arguments]
    paths = [path for _, own in named for path in own]
    if len({path.resolve() for path in paths}) != len(paths):
        raise ValueError("a report is named twice")
    labels = iter(_short_names([own[0] for name, own in named if name is None]))
    names = [next(labels) if name is None else name for name, _ in named]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two rows are called {twice}; name all reports of a row at once, as in {twice}=a.json,b.json")
    return dict(zip(names, (own for _, own in named), strict=True))


def _named_row(argument: str) -> tuple[str | None, list[Path]]:
    """Return the name of a row, if it is given, and its files; a file whose name has a "=" is taken as a file."""
    name, separator, files = argument.partition("=")
    if not separator or Path(argument).exists():
        return None, [Path(argument)]
    paths = [Path(file) for file in files.split(",") if file]
    if not name or not paths:
        raise ValueError(f"{argument!r} is no row of reports; write NAME=FILE,FILE")
    return name, paths


def _short_names(paths: Sequence[Path]) -> list[str]:
    """Return distinct labels of paths: file names, with as many parent folders as needed."""
    parts = [path.resolve().with_suffix("").parts for path in paths]
    length = 1
    while len({part[-length:] for part in parts}) != len(parts) and length < max(map(len, parts)):
        length += 1
    return ["/".join(part[-length:]) for part in parts]
