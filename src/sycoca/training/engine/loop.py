"""The training loop: batches -> updates -> log, evaluate, save. Every kind of training uses it."""

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
from sycoca.training.engine.progress import RunProgress
from sycoca.training.engine.tracking import Number, Tracker
from sycoca.training.engine.update import Updater, UpdateResult


@runtime_checkable
class StepBatches(Protocol):
    """Gives the micro-batches of this process for every step, from any step on."""

    def from_step(self, step: int) -> Iterator[list[TrainingBatch]]:
        """Return the steps' micro-batches, beginning with those of ``step``."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopParts:
    """What the loop is put together from."""

    batches: StepBatches
    """Where micro-batches come from."""

    updater: Updater
    """Does an update."""

    average: WeightAverage | None
    """The running mean of the weights, where one is kept."""

    validate: Callable[[], dict[str, float]] | None
    """Returns validation values; called by all processes."""

    save: Callable[[int], None]
    """Saves a checkpoint of a step; called by all processes."""

    count_skipped: Callable[[], int]
    """Returns how many samples have been left out; called by all processes."""

    tracker: Tracker
    """Takes the logged values."""

    progress: RunProgress
    """Shows that steps go by."""

    resume_command: str
    """What goes on with the run, for what is said when it stops."""


def train(
    parts: LoopParts, training: TrainingConfig, optimizer: OptimizerConfig, schedule: ScheduleConfig, *, step: int
) -> None:
    """Train from ``step`` to the end; all that is logged, evaluated and saved happens after whole steps.

    Raises TrainingInterrupted after a signal to stop, and FloatingPointError where a loss is not finite.
    """
    clock = _Clock()
    with StopSignal() as stop:
        for micro_batches in itertools.islice(parts.batches.from_step(step), training.steps - step):
            lr = learning_rate(step, steps=training.steps, peak_lr=optimizer.peak_lr, schedule=schedule)
            result = parts.updater.update(micro_batches, lr)
            step += 1
            if parts.average is not None:
                parts.average.update(step)
            clock.count(training.global_batch_size)
            parts.progress.advance(step)
            is_logged = is_due(training.log_every, step, training.steps)
            values: dict[str, Number] = {}
            if is_logged:
                values |= _training_values(parts, training, result, step, lr, clock)
            if parts.validate is not None and is_due(training.evaluate_every, step, training.steps):
                values |= parts.validate()
                clock.restart()
            if values:
                parts.tracker.log(step, values)
            is_stopping = _is_stopping(parts, stop, is_logged=is_logged)
            if is_stopping or is_due(training.save_every, step, training.steps):
                _finite_terms(parts, result, step)  # a broken model must not push the last sound checkpoint out
                parts.save(step)
                clock.restart()
            if is_stopping and step < training.steps:
                raise TrainingInterrupted(parts.resume_command, step)


def is_due(every: int | None, step: int, steps: int) -> bool:
    """Return whether something happens after ``step``: every so many steps and after the last one."""
    return step == steps or (every is not None and step % every == 0)


def _training_values(
    parts: LoopParts, training: TrainingConfig, result: UpdateResult, step: int, lr: float, clock: "_Clock"
) -> dict[str, Number]:
    values: dict[str, Number] = {
        **_finite_terms(parts, result, step),
        "lr": lr,
        **parts.updater.task.logged_values(),
        "gradient_norm": float(result.gradient_norm),
        "images_per_second": clock.samples_per_second(),
        "samples_seen": step * training.global_batch_size,
        "skipped_samples": parts.count_skipped(),
    }
    clock.restart()
    return values


def _finite_terms(parts: LoopParts, result: UpdateResult, step: int) -> dict[str, float]:
    terms = parts.updater.runtime.sum_over_ranks(result.terms)
    for name, value in terms.items():
        if not math.isfinite(value):
            raise FloatingPointError(
                f"the {name} loss is {value} at step {step}; go on from the last checkpoint with a lower"
                f" optimizer.peak_lr or another runtime.precision: {parts.resume_command}"
            )
    return terms


def _is_stopping(parts: LoopParts, stop: StopSignal, *, is_logged: bool) -> bool:
    """Return whether to stop now. Several processes agree on it at logged steps, where they meet anyway."""
    runtime = parts.updater.runtime
    if runtime.world_size == 1:
        return stop.is_raised
    return is_logged and runtime.any_rank(stop.is_raised)


@final
class _Clock:
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
