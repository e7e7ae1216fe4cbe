"""The training loop that every recipe uses: batches -> updates -> log, validate, save."""

import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

from sycoca.records import TrainingBatch
from sycoca.training.config import OptimizerConfig, ScheduleConfig, TrainingConfig
from sycoca.training.engine.interruption import StopSignal, TrainingInterrupted
from sycoca.training.engine.optimization.schedule import learning_rate
from sycoca.training.engine.optimization.weight_average import WeightAverage
from sycoca.training.engine.run_progress import RunProgress
from sycoca.training.engine.tracking import Number, Tracker
from sycoca.training.engine.update import Updater, UpdateResult


@runtime_checkable
class StepBatches(Protocol):
    """Yields the micro-batches of this process, starting at any step."""

    def from_step(self, step: int) -> Iterator[list[TrainingBatch]]:
        """Yield each step's micro-batches, starting with those of ``step`` (from 0)."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopParts:
    """The parts of the loop."""

    batches: StepBatches
    """The micro-batches of this process."""

    updater: Updater
    """Performs an optimizer update."""

    average: WeightAverage | None
    """The exponential moving average of the weights; None without one."""

    validate: Callable[[], dict[str, float]] | None
    """Returns the validation metrics; called by all processes. None without validation."""

    save: Callable[[int], None]
    """Saves the checkpoint of a step; called by all processes."""

    count_skipped: Callable[[], int]
    """Returns how many samples all processes have skipped; called by all processes."""

    tracker: Tracker
    """Records the logged values."""

    progress: RunProgress
    """Shows the progress bar."""

    resume_command: str
    """The command that resumes the run, for messages when it stops."""


def train(
    parts: LoopParts, training: TrainingConfig, optimizer: OptimizerConfig, schedule: ScheduleConfig, *, step: int
) -> None:
    """Train from ``step`` (updates done) to the last step; log, validate and save after whole steps only.

    Raises TrainingInterrupted after a signal to stop, and FloatingPointError where a loss is not finite.
    """
    throughput = _Throughput()
    with StopSignal() as stop:
        for micro_batches in itertools.islice(parts.batches.from_step(step), training.steps - step):
            lr = learning_rate(step, steps=training.steps, peak_lr=optimizer.peak_lr, schedule=schedule)
            result = parts.updater.update(micro_batches, lr)
            step += 1
            if parts.average is not None:
                parts.average.update(step)
            throughput.count(training.global_batch_size)
            parts.progress.advance(step)
            is_logged = is_due(training.log_every, step, training.steps)
            values: dict[str, Number] = {}
            if is_logged:
                values |= _training_values(parts, training, result, step, lr, throughput)
            if parts.validate is not None and is_due(training.evaluate_every, step, training.steps):
                values |= parts.validate()
                throughput.restart()
            if values:
                parts.tracker.log(step, values)
            is_stopping = _is_stopping(parts, stop, is_logged=is_logged)
            if is_stopping or is_due(training.save_every, step, training.steps):
                _finite_terms(parts, result, step)  # a model with NaN must not replace the last good checkpoint
                parts.save(step)
                throughput.restart()
            if is_stopping and step < training.steps:
                raise TrainingInterrupted(parts.resume_command, step)


def is_due(every: int | None, step: int, steps: int) -> bool:
    """Return whether something that happens every ``every`` steps happens after ``step``; always after the last."""
    return step == steps or (every is not None and step % every == 0)


def _training_values(
    parts: LoopParts, training: TrainingConfig, result: UpdateResult, step: int, lr: float, throughput: "_Throughput"
) -> dict[str, Number]:
    values: dict[str, Number] = {
        **_finite_terms(parts, result, step),
        "lr": lr,
        **parts.updater.task.logged_values(),
        "gradient_norm": float(result.gradient_norm),
        "images_per_second": throughput.samples_per_second(),
        "samples_seen": step * training.global_batch_size,
        "skipped_samples": parts.count_skipped(),
    }
    throughput.restart()
    return values


def _finite_terms(parts: LoopParts, result: UpdateResult, step: int) -> dict[str, float]:
    terms = parts.updater.runtime.sum_over_ranks(result.terms)
    for name, value in terms.items():
        if not math.isfinite(value):
            raise FloatingPointError(
                f"the {name} loss is {value} at step {step}; resume from the last checkpoint with a lower"
                f" optimizer.peak_lr or another runtime.precision: {parts.resume_command}"
            )
    return terms


def _is_stopping(parts: LoopParts, stop: StopSignal, *, is_logged: bool) -> bool:
    """Return whether to stop now; several processes decide together at logged steps, where they synchronize anyway."""
    runtime = parts.updater.runtime
    if runtime.world_size == 1:
        return stop.is_raised
    return is_logged and runtime.any_rank(stop.is_raised)


@final
class _Throughput:
    """Samples per second since the last restart."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._started_at = time.perf_counter()
        self._num_samples = 0

    def count(self, num_samples: int) -> None:
        self._num_samples += num_samples

    def samples_per_second(self) -> float:
        return self._num_samples / (time.perf_counter() - self._started_at)
