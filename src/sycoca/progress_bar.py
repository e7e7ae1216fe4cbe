"""Progress of anything that takes longer than a second: a live bar on a terminal or in a notebook, or messages."""

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import timedelta
from typing import Literal, TypeVar, assert_never

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sycoca.notebooks.live_bar import NotebookBar, in_notebook

T = TypeVar("T")

SECONDS_BETWEEN_LINES = 10.0
"""How often progress is logged where there is no bar."""

BarKind = Literal["terminal", "notebook", "none"]
"""Where a bar is shown."""

logger = logging.getLogger(__name__)


def bar_kind(console: Console | None) -> BarKind:
    """Return where a bar is shown: on a console that is a terminal, or in a notebook, unless the console is quiet."""
    if console is not None and console.is_terminal:
        return "terminal"
    is_quiet = console is not None and console.quiet
    return "notebook" if in_notebook() and not is_quiet else "none"


def tracked(items: Iterable[T], total: int, description: str, *, console: Console | None, step: int = 1) -> Iterator[T]:
    """Yield the items and show how many of ``total`` are done, each counting as ``step``.

    A console that is a terminal shows a bar; another one stands for a log file, and messages at INFO tell the progress;
    without a console they are at DEBUG. In a notebook the cell shows a bar, with any console or none, unless it is
    quiet.
    """
    kind = bar_kind(console)
    match kind:
        case "terminal":
            assert console is not None
            yield from _with_bar(items, total, description, console, step)
        case "notebook":
            yield from _in_notebook(items, total, description, step)
        case "none":
            level = logging.DEBUG if console is None else logging.INFO
            yield from _with_messages(items, total, description, level, step)
        case _:
            assert_never(kind)


def _in_notebook(items: Iterable[T], total: int, description: str, step: int) -> Iterator[T]:
    with closing(NotebookBar(description, total)) as bar:
        for done, item in _counted(items, total, step):
            yield item
            bar.update(done)


def _with_bar(items: Iterable[T], total: int, description: str, console: Console, step: int) -> Iterator[T]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeRemainingColumn(),
    )
    started_at = time.perf_counter()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(description, total=total, rate="")
        for done, item in _counted(items, total, step):
            yield item
            rate = done / max(time.perf_counter() - started_at, 1e-9)
            progress.update(task, completed=done, rate=f"{rate:,.1f}/s")


def _with_messages(items: Iterable[T], total: int, description: str, level: int, step: int) -> Iterator[T]:
    started_at = last_line_at = time.perf_counter()
    for done, item in _counted(items, total, step):
        yield item
        now = time.perf_counter()
        if now - last_line_at >= SECONDS_BETWEEN_LINES:
            last_line_at = now
            left = timedelta(seconds=round((now - started_at) / done * (total - done)))
            logger.log(level, f"{description}: {done:,} of {total:,}, {left} left")


def _counted(items: Iterable[T], total: int, step: int) -> Iterator[tuple[int, T]]:
    for number, item in enumerate(items, start=1):
        yield min(number * step, total), item
