"""``sycoca benchmark``: measure the speed of this machine and of the library on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from sycoca.cli.shared.results import show
from sycoca.cli.shared.usage import UsageError
from sycoca.experiments.benchmark.settings import ROWS, BenchmarkSettings
from sycoca.outputs.output import Output, claimed

if TYPE_CHECKING:
    from sycoca.experiments.benchmark.result import BenchmarkResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments(BenchmarkSettings):
    """The settings of a benchmark, and its output."""

    out: Annotated[Path | None, arg(metavar="FILE.json")] = None
    """Write the figures to this JSON file."""

    overwrite: bool = False
    """Replace --out if it exists."""

    json: bool = False
    """Print the figures as JSON instead of a table."""

    def __post_init__(self) -> None:
        try:
            BenchmarkSettings.__post_init__(self)
        except ValueError as error:
            raise UsageError(str(error)) from error

    def run(self) -> int:
        """Measure; the figures go to stdout, progress to stderr."""
        with claimed(None if self.out is None else Output(path=self.out, overwrite=self.overwrite)):
            # Imported here, since it imports torch: help and usage errors appear fast.
            from sycoca.cli.shared.logs import stderr_console
            from sycoca.experiments.benchmark.benchmark import benchmark

            _show(benchmark(self, console=stderr_console()), self)
        return 0


def _description() -> str:
    rows = {name: what for group in ROWS.values() for name, what in group.items()}
    width = max(map(len, rows))
    return "\n".join(
        [
            "Measure the matrix products and memory bandwidth of this machine, and the speed of",
            "training, captioning, embedding, data loading and scoring on it.",
            "",
            "rows:",
            *(f"  {name:<{width}}  {what}" for name, what in rows.items()),
        ]
    )


Arguments.__doc__ = _description()


def _show(result: "BenchmarkResult", chosen: Arguments) -> None:
    from sycoca.experiments.benchmark.table import benchmark_table

    show(
        result,
        "benchmark",
        out=chosen.out,
        as_json=chosen.json,
        print_table=lambda console: console.print(benchmark_table(result, console.width), highlight=False),
    )
