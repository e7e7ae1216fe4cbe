"""Progress of a run: a bar with throughput, remaining time and losses on a terminal, lines elsewhere."""

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TextIO, final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sycoca.training.engine.tracking import Number

_LOSSES = ("contrastive", "captioning", "masked_image", "answering", "classification")

_SHOWN_IN_TRAINING = {**{name: name for name in _LOSSES}, "lr": "lr"}

_SHOWN_OF_VALIDATION = {
    **{f"validation_{name}": name for name in _LOSSES},
    "validation_text_to_image_recall_at_1": "text-to-image R@1",
    "validation_image_to_text_recall_at_1": "image-to-text R@1",
    "validation_mask_coverage": "mask coverage",
    "validation_cider": "CIDEr",
    "validation_vqa_accuracy": "VQA accuracy",
    "validation_answer_accuracy": "answer accuracy",
    "validation_accuracy_top_1": "top-1 accuracy",
}
"""The rest is in metrics.jsonl."""


@final
class RunProgress:
    """Tracker that shows a run on the console and writes its lines to ``log.txt``."""

    def __init__(self, *, steps: int, first_step: int, console: Console, log_path: Path | None) -> None:
        self._console = console
        self._steps = steps
        self._first_step = first_step
        self._first_done: tuple[int, float] | None = None
        self._log_file: TextIO | None = None if log_path is None else log_path.open("a", encoding="utf-8")
        self._bar = _bar(console) if console.is_terminal else None
        self._task_id = None

    def line(self, text: str) -> None:
        """Print and log one line."""
        self._keep(text)
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def advance(self, step: int) -> None:
        """Advance the bar to ``step``; it appears with the first step."""
        if self._first_done is None:
            # The first step includes warm-up, so the throughput is measured from its end.
            self._first_done = (step, time.perf_counter())
        if self._bar is None:
            return
        if self._task_id is None:
            self._bar.start()
            self._task_id = self._bar.add_task("training", total=self._steps, completed=self._first_step, shown="")
        self._bar.update(self._task_id, completed=step)

    def log(self, step: int, values: Mapping[str, Number]) -> None:
        """Show the values of a step beside the bar or on a line; validation values always on a line of their own."""
        losses = _chosen(values, _SHOWN_IN_TRAINING)
        if losses:
            self._show_losses(step, losses, values["images_per_second"])
        validation = _chosen(values, _SHOWN_OF_VALIDATION)
        if validation:
            self.line(f"step {step:,}  validation  {validation}")

    def close(self) -> None:
        """Remove the bar and close the log."""
        if self._bar is not None:
            self._bar.stop()
        if self._log_file is not None:
            self._log_file.close()

    def _show_losses(self, step: int, losses: str, images_per_second: Number) -> None:
        text = f"{losses}  {images_per_second:,.0f} images/s"
        line = f"step {step:,}/{self._steps:,}  {text}  {self._remaining(step)} left"
        if self._bar is None or self._task_id is None:
            self.line(line)
        else:
            self._keep(line)
            self._bar.update(self._task_id, shown=text)

    def _remaining(self, step: int) -> str:
        """Return the estimated remaining time as hours, minutes and seconds."""
        if self._first_done is None or step == self._first_done[0]:
            return "unknown time"
        first_step, first_at = self._first_done
        seconds = (time.perf_counter() - first_at) / (step - first_step) * (self._steps - step)
        return str(timedelta(seconds=round(seconds)))

    def _keep(self, text: str) -> None:
        if self._log_file is not None:
            self._log_file.write(f"{datetime.now().isoformat(sep=' ', timespec='seconds')}  {text}\n")
            self._log_file.flush()


def quiet_console() -> Console:
    """Return a console without output, for ranks other than 0 and callers that pass no console."""
    return Console(quiet=True, force_terminal=False)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("<"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[shown]}"),
        console=console,
        transient=True,
    )


def _chosen(values: Mapping[str, Number], names: Mapping[str, str]) -> str:
    """Return those of the values that people look at, under short names."""
    return "  ".join(f"{short} {values[name]:.3g}" for name, short in names.items() if name in values)
