"""The training loop that every recipe uses: batches -> updates -> review, log, validate, save."""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol, final, runtime_checkable

from torch import Tensor

from sycoca.records import TrainingBatch, TrainingProgress
from sycoca.training.config import OptimizerConfig, ScheduleConfig, TrainingConfig
from sycoca.training.engine.checkpoints.run_checkpoints import RunCheckpoints
from sycoca.training.engine.interruption import (
    WORKERS_DIED,
    LoaderWorkersDiedError,
    StopSignal,
    TrainingInterrupted,
)
from sycoca.training.engine.optimization.schedule import learning_rate
from sycoca.training.engine.optimization.weight_average import WeightAverage
from sycoca.training.engine.run_progress import RunProgress
from sycoca.training.engine.step_review import StepReview
from sycoca.training.engine.step_watch import StepWatch
from sycoca.training.engine.stream_position import StreamPosition
from sycoca.training.engine.tracking import Number, Tracker
from sycoca.training.engine.update import Updater, UpdateResult


@runtime_checkable
class StepBatches(Protocol):
    """Yields the micro-batches of this process, starting at any sample."""

    def from_position(self, position: int) -> Iterator[list[TrainingBatch]]:
        """Yield each step's micro-batches, starting with those after ``position`` samples."""
        ...

    @property
    def has_failed(self) -> bool:
        """Whether the run should save and end, since reading fails again and again."""
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

    checkpoints: RunCheckpoints
    """Saves the checkpoints; called by all processes."""

    review: StepReview
    """Judges every step."""

    count_skipped: Callable[[], int]
    """Returns how many samples all processes have skipped; called by all processes."""

    tracker: Tracker
    """Records the logged values."""

    progress: RunProgress
    """Shows the progress bar."""

    resume_command: str
    """The command that resumes the run, for messages when it stops."""

    fewer_workers_command: str
    """The same with fewer loader workers."""


def train(
    parts: LoopParts,
    training: TrainingConfig,
    optimizer: OptimizerConfig,
    schedule: ScheduleConfig,
    *,
    start: StreamPosition,
) -> None:
    """Train from a position to the last step; log, validate and save after whole steps only.

    An update whose gradient is not finite is skipped. Raises TrainingInterrupted after a signal to stop,
    LoaderWorkersDiedError after too many deaths of loader workers, and FloatingPointError after too many skipped steps
    in a row and where the final weights are not usable.
    """
    throughput = _Throughput()
    watch = StepWatch(parts.updater, parts.review)
    unreviewed: dict[int, Sequence[TrainingBatch]] = {}
    terms = _NewestTerms()
    is_saving = False
    step = start.step
    with StopSignal() as stop:
        for step, micro_batches in _steps(parts, start, training.steps):
            lr = learning_rate(step - 1, steps=training.steps, peak_lr=optimizer.peak_lr, schedule=schedule)
            result = _update(parts, micro_batches, lr, step)
            terms.add(result.terms)
            throughput.count(training.global_batch_size)
            parts.progress.advance(step)
            watch.add(step, result, stop_number=stop.number or (WORKERS_DIED if parts.batches.has_failed else 0))
            is_logged = is_due(training.log_every, step, training.steps)
            is_saving = is_saving or watch.is_stopping or is_due(training.save_every, step, training.steps)
            if is_logged or is_saving:
                watch.read()
            unreviewed = {step: micro_batches, **_from_last_finite(unreviewed, parts.review)}
            _end_where_hopeless(parts, training, unreviewed, step)
            values = (
                _training_values(parts, result, terms, lr, start.samples_after(step), throughput) if is_logged else {}
            )
            _validate_and_log(parts, training, values, step, throughput)
            # After a skipped step a checkpoint that is due, or a stop, waits for the next finite one.
            if is_saving and (not parts.review.skipped_in_a_row or step == training.steps):
                is_saving = False
                _save(parts, step, values, throughput)
                if watch.is_stopping and step < training.steps:
                    _stop(parts, step, watch.stop_number)
    parts.checkpoints.finish()
    parts.checkpoints.confirm(step)


def _steps(parts: LoopParts, start: StreamPosition, num_steps: int) -> Iterator[tuple[int, Sequence[TrainingBatch]]]:
    """Yield the number of each step, from 1, and its micro-batches, which know how far training is."""
    batches = itertools.islice(parts.batches.from_position(start.samples_seen), num_steps - start.step)
    for step, micro_batches in enumerate(batches, start=start.step + 1):
        yield step, parts.updater.task.at(micro_batches, TrainingProgress(step=step, num_steps=num_steps))


def _update(parts: LoopParts, micro_batches: Sequence[TrainingBatch], lr: float, step: int) -> UpdateResult:
    """Update the parameters, and with them their average, if any."""
    result = parts.updater.update(micro_batches, lr)
    if parts.average is not None:
        parts.average.update(step, result.gradient_norm)
    return result


def is_due(every: int | None, step: int, steps: int) -> bool:
    """Return whether something that happens every ``every`` steps happens after ``step``; always after the last."""
    return step == steps or (every is not None and step % every == 0)


def _training_values(
    parts: LoopParts,
    result: UpdateResult,
    terms: "_NewestTerms",
    lr: float,
    samples_seen: int,
    throughput: "_Throughput",
) -> dict[str, Number]:
    values: dict[str, Number] = {
        **parts.updater.runtime.sum_over_ranks(terms.take()),
        "lr": lr,
        **parts.updater.task.logged_values(),
        "gradient_norm": float(result.gradient_norm),
        "images_per_second": throughput.samples_per_second(),
        "samples_seen": samples_seen,
        "skipped_samples": parts.count_skipped(),
        "skipped_steps": parts.review.num_skipped,
    }
    throughput.restart()
    return values


def _validate_and_log(
    parts: LoopParts, training: TrainingConfig, values: dict[str, Number], step: int, throughput: "_Throughput"
) -> None:
    if parts.validate is not None and is_due(training.evaluate_every, step, training.steps):
        values |= parts.validate()
        throughput.restart()
    if values:
        parts.tracker.log(step, values)


def _from_last_finite(
    batches: Mapping[int, Sequence[TrainingBatch]], review: StepReview
) -> dict[int, Sequence[TrainingBatch]]:
    """Return the batches of the steps since the last that is known to be finite, that step included."""
    last = 0 if review.confirmed_step is None else review.confirmed_step + 1
    return {step: micro_batches for step, micro_batches in batches.items() if step >= last}


def _end_where_hopeless(
    parts: LoopParts, training: TrainingConfig, batches: Mapping[int, Sequence[TrainingBatch]], step: int
) -> None:
    """Raise FloatingPointError after too many skipped steps in a row, or where the last weights cannot be used."""
    review, updater = parts.review, parts.updater
    parts.checkpoints.confirm(review.confirmed_step)
    if review.is_over:
        _fail(parts, f"the last {review.skipped_in_a_row} steps had a loss or gradient that is not finite")
    if step < training.steps:
        return
    # No later step will show whether the last update has left weights that compute anything.
    last = None if review.confirmed_step is None else review.confirmed_step + 1
    if last is None:
        _fail(parts, "no step had a finite loss and gradient")
    loss = updater.runtime.sum_over_ranks({"loss": updater.loss(batches[last])})["loss"]
    if not math.isfinite(loss):
        _fail(parts, f"with the final weights, the loss of the batch of step {last:,} is {loss:g}")


def _save(parts: LoopParts, step: int, logged: Mapping[str, Number], throughput: "_Throughput") -> None:
    if not parts.checkpoints.are_weights_finite():
        _fail(parts, f"the weights after step {step:,} are not finite")
    parts.checkpoints.save(step, logged)
    throughput.restart()


def _stop(parts: LoopParts, step: int, number: int) -> NoReturn:
    parts.checkpoints.finish()
    if number == WORKERS_DIED:
        raise LoaderWorkersDiedError(parts.fewer_workers_command, step)
    raise TrainingInterrupted(parts.resume_command, step, number)


def _fail(parts: LoopParts, what: str) -> NoReturn:
    aside = parts.checkpoints.set_aside()
    renamed = f"; set aside as unsound: {', '.join(path.name for path in aside)}" if aside else ""
    raise FloatingPointError(
        f"{what}{renamed}; resume from the last sound checkpoint with a lower optimizer.peak_lr or another"
        f" runtime.precision: {parts.resume_command}"
    )


@final
class _NewestTerms:
    """The newest value of every loss term since the last log entry: a step may lack some (`masks_images_at`)."""

    def __init__(self) -> None:
        self._terms: dict[str, Tensor] = {}

    def add(self, terms: Mapping[str, Tensor]) -> None:
        self._terms |= terms

    def take(self) -> dict[str, Tensor]:
        """Return the values, and forget them."""
        taken, self._terms = self._terms, {}
        return taken


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
