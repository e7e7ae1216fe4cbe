"""``sycoca compare``: compare runs and reports, with confidence intervals, paired differences and a page."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, final

from tyro.conf import Positional, arg

from sycoca.inference.model_options import ModelOptions
from sycoca.outputs.output import Output, claimed

if TYPE_CHECKING:
    from rich.console import Console

    from sycoca.data.samples import SampleSource
    from sycoca.evaluation.comparison import Comparison
    from sycoca.experiments.compare_runs import Rows


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Compare runs and reports: metrics with confidence intervals, curves, and a page with --html.

    A row is a run folder, a report that sycoca evaluate or sycoca score wrote with --out, or a folder of reports
    (sycoca evaluate all --out). Of a run folder the curves, the last validation and all reports in it and in its
    folder reports/ are compared. Every metric gets a 95 % confidence interval (percentile bootstrap over test items,
    2,000 resamples; the captions of an image are resampled together). Its difference to the first row gets a paired
    interval: both rows are resampled alike, over the items that both have. Another seed of the same training may differ
    more than other test items: name several seeds as one row, as in coca=a.json,b.json sycoca=c.json,d.json, and every
    metric and difference also gets an interval over seeds (Student's t, Welch's).
    """

    compared: Positional[tuple[str, ...]]
    """Two or more rows; the first is the baseline. A row is a run folder or report, or NAME=RUN,RUN for several
    seeds."""

    html: Annotated[Path | None, arg(metavar="FILE.html")] = None
    """Write the comparison as a page: curves of all runs, metrics with intervals, the items that differ most."""

    examples: Annotated[str | None, arg(metavar="SPEC")] = None
    """Data that the reports were measured on: the page also shows its images, and what the models of run folders
    retrieve, caption and look at."""

    out: Annotated[Path | None, arg(metavar="FILE.json")] = None
    """Write the comparison to this JSON file."""

    overwrite: bool = False
    """Replace --out and --html if they exist."""

    json: bool = False
    """Print the comparison as JSON instead of a table."""

    seed: int = 0
    """Seed of the bootstrap."""

    model: ModelOptions = field(default_factory=ModelOptions)
    """Device, precision and batch size of the models, with --examples."""

    def __post_init__(self) -> None:
        if len(self.compared) < 2:
            raise ValueError("name at least two runs or reports; sycoca evaluate ... --out FILE writes a report")
        if self.examples is not None and self.html is None:
            raise ValueError("--examples are shown on the page, so they need --html FILE.html")

    def run(self) -> int:
        """Compare, and save or print the comparison."""
        from sycoca.cli.shared.logs import stderr_console
        from sycoca.cli.shared.results import print_path, show
        from sycoca.data.named_inputs import inputs_of
        from sycoca.data.spec import open_source
        from sycoca.experiments.compare_runs import compare_rows, read_compared

        paths = _rows(self.compared)
        inputs = tuple(path for own in paths.values() for path in own)
        read = (*inputs, *inputs_of(self, "out", "html"))
        outputs = (Output(path=path, inputs=read, overwrite=self.overwrite) for path in (self.out, self.html) if path)
        with claimed(*outputs):
            source = None if self.examples is None else open_source(self.examples)
            rows = {name: [read_compared(path) for path in own] for name, own in paths.items()}
            comparisons = compare_rows(rows, seed=self.seed, console=stderr_console())
            if self.json or self.out is not None or self.html is None:
                show(
                    _Result(comparisons, is_one=all(path.is_file() for path in inputs)),
                    "comparison",
                    out=self.out,
                    as_json=self.json,
                    print_table=lambda console: _print_tables(comparisons, console),
                )
            if self.html is not None:
                self._save_page(rows, comparisons, source, self.html)
                print_path("page", self.html)
        return 0

    def _save_page(
        self, rows: "Rows", comparisons: "Mapping[str, Comparison]", source: "SampleSource | None", path: Path
    ) -> None:
        from sycoca.experiments.compare_runs import compare_page
        from sycoca.reports.comparing.compare_page import save_compare_page

        save_compare_page(compare_page(rows, comparisons, source=source, model=self.model), path)


@final
@dataclass(frozen=True, slots=True)
class _Result:
    """Comparisons by section as JSON; that of report files alone is the comparison itself."""

    comparisons: "Mapping[str, Comparison]"
    is_one: bool

    def to_json(self) -> str:
        """Return the comparisons as JSON."""
        if self.is_one:
            (only,) = self.comparisons.values()
            return only.to_json()
        plain = {section: json.loads(one.to_json()) for section, one in self.comparisons.items()}
        return json.dumps({"comparisons": plain}, indent=2)


def _print_tables(comparisons: "Mapping[str, Comparison]", console: "Console") -> None:
    from sycoca.evaluation.comparison_table import comparison_tables, legend
    from sycoca.terminal import say, show_table

    for section, comparison in comparisons.items():
        for table in comparison_tables(comparison, section):
            show_table(console, table)
        for line in legend(comparison):
            say(console, line, style="dim", width=console.width)


def _rows(arguments: Sequence[str]) -> dict[str, list[Path]]:
    """Return the paths of every row by its name.

    Raises ValueError for a path or a name that stands twice, and for a row without paths.
    """
    named = [_named_row(argument) for argument in arguments]
    paths = [path for _, own in named for path in own]
    if len({path.resolve() for path in paths}) != len(paths):
        raise ValueError("a run or report is named twice")
    labels = iter(_short_names([own[0] for name, own in named if name is None]))
    names = [next(labels) if name is None else name for name, _ in named]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two rows are called {twice}; name all of a row at once, as in {twice}=a.json,b.json")
    return dict(zip(names, (own for _, own in named), strict=True))


def _named_row(argument: str) -> tuple[str | None, list[Path]]:
    """Return the name of a row, if it is given, and its paths; a path whose name has a "=" is taken as a path."""
    name, separator, files = argument.partition("=")
    if not separator or Path(argument).exists():
        return None, [Path(argument)]
    paths = [Path(file) for file in files.split(",") if file]
    if not name or not paths:
        raise ValueError(f"{argument!r} is no row; write NAME=RUN,RUN")
    return name, paths


def _short_names(paths: Sequence[Path]) -> list[str]:
    """Return distinct labels of paths: file names, with as many parent folders as needed."""
    named = [path.resolve() for path in paths]
    parts = [(path if path.is_dir() else path.with_suffix("")).parts for path in named]
    length = 1
    while len({part[-length:] for part in parts}) != len(parts) and length < max(map(len, parts)):
        length += 1
    return ["/".join(part[-length:]) for part in parts]
