"""Progress of a run: a live bar with rate, remaining time and losses, and all of it as log messages, too."""

import logging
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol, assert_never, final, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sycoca.facts.metric_facts import METRICS, VALIDATION
from sycoca.facts.metric_suffixes import BASELINES, NO_CAPTION
from sycoca.facts.objective_facts import OBJECTIVES
from sycoca.facts.training_facts import SHOWN_METRICS
from sycoca.notebooks.live_bar import NotebookBar
from sycoca.progress_bar import bar_kind
from sycoca.training.engine.tracking import Number

_SHOWN_IN_TRAINING = {**{name: facts.short_title for name, facts in OBJECTIVES.items()}, "lr": "lr"}

_SHOWN_OF_VALIDATION = {
    **{
        f"{VALIDATION}{name}": facts.short_title + (f" ({facts.held_out_note})" if facts.held_out_note else "")
        for name, facts in OBJECTIVES.items()
    },
    **{
        f"{VALIDATION}{key}{suffix}": title
        for key in SHOWN_METRICS
        for suffix, title in (("", METRICS[key].title), (NO_CAPTION, BASELINES[NO_CAPTION]))
    },
}
"""The validation metrics to show; metrics.jsonl has all of them."""


logger = logging.getLogger(__name__)


@runtime_checkable
class _Bar(Protocol):
    """A live bar, which appears with the first update."""

    def update(self, completed: int, shown: str = "") -> None: ...

    def close(self) -> None: ...


@final
class RunProgress:
    """Logs the losses and validation metrics of a run, with a live bar on a terminal or in a notebook; a `Tracker`."""

    def __init__(self, *, steps: int, first_step: int, console: Console | None, is_main_rank: bool = True) -> None:
        """Show a bar on the console, if it is a terminal, or in the notebook. Other ranks than the main one have none,
        and log at DEBUG."""
        self._steps = steps
        self._level = logging.INFO if is_main_rank else logging.DEBUG
        self._first_step = first_step
        self._first_done: tuple[int, float] | None = None
        self._bar = _bar(steps, first_step, console) if is_main_rank else None
        self._completed = first_step
        self._shown = ""

    def advance(self, step: int) -> None:
        """Count a finished step; the bar appears with the first."""
        if self._first_done is None:
            # The first step includes warm-up, so the throughput is measured from its end.
            self._first_done = (step, time.perf_counter())
        self._completed = step
        if self._bar is not None:
            self._bar.update(step, self._shown)

    def log(self, step: int, values: Mapping[str, Number]) -> None:
        """Log the values of a step, those of validation as a message of their own."""
        losses = _chosen(values, _SHOWN_IN_TRAINING)
        if losses:
            self._show_losses(step, losses + _skipped(values), values["images_per_second"])
        validation = _chosen(values, _SHOWN_OF_VALIDATION)
        if validation:
            logger.log(self._level, f"step {step:,}  validation  {validation}")

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()

    def _show_losses(self, step: int, losses: str, images_per_second: Number) -> None:
        text = f"{losses}  {images_per_second:,.0f} images/s"
        line = f"step {step:,}/{self._steps:,}  {text}  {self._remaining(step)} left"
        is_in_bar = self._bar is not None and self._first_done is not None
        # A handler that writes where the bar is has no need to repeat it.
        logger.log(self._level, line, extra={"is_in_bar": is_in_bar})
        self._shown = text
        if self._bar is not None and self._first_done is not None:
            self._bar.update(self._completed, text)

    def _remaining(self, step: int) -> str:
        """Return the estimated remaining time as hours, minutes and seconds."""
        if self._first_done is None or step == self._first_done[0]:
            return "unknown time"
        first_step, first_at = self._first_done
        seconds = (time.perf_counter() - first_at) / (step - first_step) * (self._steps - step)
        return str(timedelta(seconds=round(seconds)))


def _skipped(values: Mapping[str, Number]) -> str:
    """Return the number of skipped steps as text; empty where there are none."""
    num_skipped = int(values.get("skipped_steps", 0))
    return f"  {num_skipped:,} step{'' if num_skipped == 1 else 's'} skipped" if num_skipped else ""


def _bar(steps: int, first_step: int, console: Console | None) -> _Bar | None:
    kind = bar_kind(console)
    match kind:
        case "terminal":
            assert console is not None
            return _TerminalBar(steps, first_step, console)
        case "notebook":
            return NotebookBar("training", steps, completed=first_step)
        case "none":
            return None
        case _:
            assert_never(kind)


@final
class _TerminalBar:
    """A bar on a terminal, which is removed at the end."""

    def __init__(self, steps: int, first_step: int, console: Console) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("<"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[shown]}", markup=False),
        )
        self._progress = Progress(*columns, console=console, transient=True)
        self._task_id = self._progress.add_task("training", start=False, total=steps, completed=first_step, shown="")
        self._is_shown = False

    def update(self, completed: int, shown: str = "") -> None:
        """Show how many steps are done and, behind them, ``shown``."""
        if not self._is_shown:
            self._is_shown = True
            self._progress.start_task(self._task_id)
            self._progress.start()
        self._progress.update(self._task_id, completed=completed, shown=shown)

    def close(self) -> None:
        """Remove the bar."""
        self._progress.stop()


def _chosen(values: Mapping[str, Number], names: Mapping[str, str]) -> str:
    """Return the named values as text, with their short names."""
    return "  ".join(f"{short} {values[name]:.3g}" for name, short in names.items() if name in values)
