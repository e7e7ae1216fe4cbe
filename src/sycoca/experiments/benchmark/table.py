"""The result of a benchmark as a table for the terminal."""

from typing import TYPE_CHECKING

from sycoca.experiments.benchmark.result import BenchmarkResult
from sycoca.experiments.benchmark.settings import ROWS

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

_WIDTH_WITH_DESCRIPTIONS = 110
"""Terminal width from which descriptions are shown beside the numbers."""

_TIME_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def benchmark_table(result: BenchmarkResult, width: int) -> "Group":
    """Return a description of the machine, a table of all rows, and the memory, for a terminal of ``width`` columns."""
    from rich.console import Group
    from rich.text import Text

    machine, *details = _headlines(result)
    lines = [Text(line, style="dim") for line in (*details, "")]
    notes = [Text(line) for line in ("", *_notes(result))]
    return Group(Text(machine, style="bold"), *lines, _table(result, width), *notes)


def readable_number(value: float) -> str:
    """Return a positive number with three significant digits, or all digits before the decimal point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _headlines(result: BenchmarkResult) -> list[str]:
    machine, settings = result.machine, result.settings
    name = machine["processor"] if machine["device_name"] is None else machine["device_name"]
    parameters = readable_number(settings["parameters"] / 1e6)  # pyright: ignore[reportOperatorIssue]
    compiled = ", compiled" if settings["compile"] else ""
    return [
        f"{name}, {_counted(machine['threads'], 'thread')} of {_counted(machine['processors'], 'processor')}",
        f"{machine['system']}, torch {machine['torch']}, Python {machine['python']}, sycoca {machine['sycoca']}",
        f"preset {settings['preset']}: {parameters} M parameters, images of {settings['image_size']} pixels",
        f"batches of {settings['batch_size']}, {settings['precision']}{compiled}; median of"
        f" {_counted(settings['runs'], 'run')}, in turns",
    ]


def _counted(count: object, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _table(result: BenchmarkResult, width: int) -> "Table":
    from rich import box
    from rich.table import Table

    has_descriptions = width >= _WIDTH_WITH_DESCRIPTIONS
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    table.add_column("row", no_wrap=True)
    for heading in ("median", "min to max", "rate", "GFLOP/s", "of peak"):
        table.add_column(heading, justify="right", no_wrap=True)
    if has_descriptions:
        table.add_column("one call", style="dim", no_wrap=True)
    for group in ROWS.values():
        for name in (name for name in group if name in result.rows):
            table.add_row(*_cells(result, name), *([group[name]] if has_descriptions else []))
        table.add_section()
    return table


def _cells(result: BenchmarkResult, name: str) -> "list[str | Text]":
    from rich.text import Text

    row, share = result.rows[name], result.share_of_peak(name)
    factor, unit = _time_unit(row.seconds)
    return [
        name,
        Text(f"{readable_number(row.seconds / factor)} {unit}", style="bold"),
        Text(
            f"{readable_number(row.seconds_min / factor)} to {readable_number(row.seconds_max / factor)}", style="dim"
        ),
        f"{readable_number(row.items_per_second)} {row.unit}/s",
        "-" if row.gflop_per_second is None else readable_number(row.gflop_per_second),
        "-" if share is None else f"{100 * share:.1f} %",
    ]


def _time_unit(seconds: float) -> tuple[float, str]:
    return next(((factor, unit) for factor, unit in _TIME_UNITS if seconds >= factor), _TIME_UNITS[-1])


def _notes(result: BenchmarkResult) -> list[str]:
    where = "of this process" if result.machine["device"] == "cpu" else "on the device"
    labels = {"model_built_bytes": "with the model", "train_all_peak_bytes": "peak of train_all"}
    sizes = {label: result.memory[name] for name, label in labels.items()}
    known = [f"{readable_number(size / 2**20)} MiB {label}" for label, size in sizes.items() if size is not None]
    notes = [f"memory {where}: {', '.join(known)}"] if known else []
    if result.mean_step_seconds is not None:
        factor, unit = _time_unit(result.mean_step_seconds)
        notes.append(
            f"a training step takes {readable_number(result.mean_step_seconds / factor)} {unit} on average:"
            f" {100 * result.masked_image_share:.0f} % are train_all, the others train_itc_ic"
        )
    if "bf16" in result.peaks:
        notes.append("of peak: retrieval_scoring computes in fp32 and is compared with its peak")
    return notes
