"""Progress of anything that takes longer than a second: a bar on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")

SECONDS_BETWEEN_LINES = 10.0
"""How often a log file learns how far it is."""


def tracked(items: Iterable[T], total: int, description: str, *, console: Console | None, step: int = 1) -> Iterator[T]:
    """Yield the items and show how many of ``total`` are done, each counting as ``step``; silent without a console."""
    if console is None:
        yield from items
    elif console.is_terminal:
        yield from _with_bar(items, total, description, console, step)
    else:
        yield from _with_lines(items, total, description, console, step)


def _with_bar(items: Iterable[T], total: int, description: str, console: Console, step: int) -> Iterator[T]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    started_at = time.perf_counter()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(description, total=total, rate="")
        for done, item in _counted(items, total, step):
            yield item
            rate = done / max(time.perf_counter() - started_at, 1e-9)
            progress.update(task, completed=done, rate=f"{rate:,.1f}/s")


def _with_lines(items: Iterable[T], total: int, description: str, console: Console, step: int) -> Iterator[T]:
    started_at = last_line_at = time.perf_counter()
    for done, item in _counted(items, total, step):
        yield item
        now = time.perf_counter()
        if now - last_line_at >= SECONDS_BETWEEN_LINES:
            last_line_at = now
            left_seconds = (now - started_at) / done * (total - done)
            console.print(f"{description}: {done:,} of {total:,}, {left_seconds:.0f} s left", highlight=False)


def _counted(items: Iterable[T], total: int, step: int) -> Iterator[tuple[int, T]]:
    for number, item in enumerate(items, start=1):
        yield min(number * step, total), item
