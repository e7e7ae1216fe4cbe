"""``sycoca benchmark``: how fast this machine is, and the library on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from sycoca.cli.shared.results import show
from sycoca.cli.shared.usage import UsageError
from sycoca.experiments.benchmark.settings import ROWS, BenchmarkSettings

if TYPE_CHECKING:
    from sycoca.experiments.benchmark.result import BenchmarkResult


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchmarkArguments(BenchmarkSettings):
    """What is measured, and where the figures go."""

    out: Path | None = None
    """Write the figures to this file as JSON."""

    json: bool = False
    """Print the figures as JSON instead of a table."""

    def __post_init__(self) -> None:
        try:
            BenchmarkSettings.__post_init__(self)
        except ValueError as error:
            raise UsageError(str(error)) from error


def run(arguments: list[str]) -> int:
    """Measure; the figures go to stdout, progress to stderr."""
    chosen = tyro.cli(
        BenchmarkArguments,
        prog="sycoca benchmark",
        description=_description(),
        args=arguments,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    _make_room(chosen.out)
    # Only now, since this imports torch: help and mistakes answer at once.
    from rich.console import Console

    from sycoca.experiments.benchmark.benchmark import benchmark

    _show(benchmark(chosen, console=Console(stderr=True)), chosen)
    return 0


def _description() -> str:
    rows = {name: what for group in ROWS.values() for name, what in group.items()}
    width = max(map(len, rows))
    return "\n".join(
        [
            "How fast this machine multiplies and copies, and how fast training,",
            "captioning, embedding, data loading and scoring are on it.",
            "",
            "rows:",
            *(f"  {name:<{width}}  {what}" for name, what in rows.items()),
        ]
    )


def _make_room(out: Path | None) -> None:
    """Refuse a place that cannot take a file before minutes are spent on what it is to hold."""
    if out is None:
        return
    if out.is_dir():
        raise UsageError(f"--out {out} is a folder; name a file")
    out.parent.mkdir(parents=True, exist_ok=True)


def _show(result: "BenchmarkResult", chosen: BenchmarkArguments) -> None:
    from sycoca.experiments.benchmark.table import benchmark_table

    show(
        result,
        "benchmark",
        out=chosen.out,
        as_json=chosen.json,
        print_table=lambda console: console.print(benchmark_table(result, console.width), highlight=False),
    )
