"""A progress bar in a notebook: one line of HTML in its cell, which is replaced as work proceeds and removed after."""

import html
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol, final, runtime_checkable

SECONDS_BEFORE_BAR = 1.0
"""What takes less shows no bar."""

SECONDS_BETWEEN_UPDATES = 0.25

_STYLE = "font: 13px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums"


@runtime_checkable
class _Display(Protocol):
    """A place in the output of a cell."""

    def update(self, shown: object) -> None: ...


def in_notebook() -> bool:
    """Return whether code runs in the kernel of a notebook (Jupyter, Colab, VS Code), which shows HTML."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel")  # IPython on a terminal has a shell without one


@final
class NotebookBar:
    """A bar that appears when work takes longer than a second."""

    def __init__(
        self, description: str, total: int, *, completed: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin at ``completed`` of ``total``; nothing is shown yet. ``clock`` returns seconds."""
        self._description = description
        self._total = total
        self._first_completed = completed
        self._clock = clock
        self._started_at = clock()
        self._next_at = self._started_at + SECONDS_BEFORE_BAR
        self._display: _Display | None = None

    def update(self, completed: int, shown: str = "") -> None:
        """Show how much is done and, behind it, ``shown``; calls that follow each other quickly change nothing."""
        now = self._clock()
        if now < self._next_at:
            return
        self._next_at = now + SECONDS_BETWEEN_UPDATES
        self._show(self._line(completed, now, shown))

    def close(self) -> None:
        """Remove the bar."""
        if self._display is not None:
            self._show("")

    def _show(self, line: str) -> None:
        from IPython.display import HTML, display  # pyright: ignore[reportMissingImports]

        if self._display is None:
            self._display = display(HTML(line), display_id=True)
        else:
            self._display.update(HTML(line))

    def _line(self, completed: int, now: float, shown: str) -> str:
        done, seconds = completed - self._first_completed, now - self._started_at
        parts = [f"{completed:,}/{self._total:,}"]
        if done > 0:
            left = timedelta(seconds=round(seconds / done * (self._total - completed)))
            parts += [f"{done / seconds:,.1f}/s", f"{left} left"]
        text = html.escape(" · ".join([*parts, *([shown] if shown else [])]))
        bar = f'<progress max="{self._total}" value="{completed}"></progress>'
        return f'<div style="{_STYLE}">{html.escape(self._description)} {bar} {text}</div>'
