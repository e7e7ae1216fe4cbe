"""Review of every step: steps with gradients that are not finite, loss spikes, and which checkpoints are sound.

All processes see the same global values and come to the same results. On a GPU the host reads them a step late, so that
no step waits for it.
"""

import logging
import math
import statistics
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from sycoca.json_lines import ResumableLines
from sycoca.outputs.record_lines import Record

logger = logging.getLogger(__name__)

SPIKE_WINDOW = 50
"""Number of recent losses whose median a spike is measured against."""

LEAST_BEFORE_SPIKE = 20
"""Number of losses without which the spread is unknown."""

SPIKE_DEVIATIONS = 10.0
"""A loss is a spike above the median plus this many standard deviations, estimated by the median absolute deviation."""

_STANDARD_DEVIATIONS_PER_MAD = 1.4826
_LEAST_RATIO = 1.25
_GROSS_RATIO = 3.0
_MOST_NAMES_SHOWN = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class StepOutcome:
    """What a step came to, summed over micro-batches and processes."""

    step: int
    """Number of the step, from 1."""

    loss: float
    """The weighted sum of the losses of the global batch."""

    gradient_norm: float
    """Norm of the whole gradient before clipping."""

    is_skipped: bool
    """Whether the update was skipped, since gradient or loss were not finite."""

    terms: Mapping[str, float] = field(default_factory=dict)
    """The unweighted loss terms by name."""


@final
class StepReview:
    """The history of a run's steps, from the step at which the process starts."""

    def __init__(
        self,
        sample_names: Callable[[int], list[str]],
        *,
        first_step: int,
        max_skipped_in_a_row: int,
        skipped_file: Path | None,
        level: int = logging.WARNING,
    ) -> None:
        """Start after ``first_step``; ``sample_names`` returns the names of the samples of a step after that.

        Skipped steps and spikes are written to ``skipped_file`` where there is one; lines of later steps, which will be
        done again, are dropped from it, and damaged lines are moved to a file beside it.
        """
        self._names = sample_names
        self._max_in_a_row = max_skipped_in_a_row
        self._level = level
        self._file = None if skipped_file is None else ResumableLines(skipped_file, resume=True, accepts=_is_record)
        if self._file is not None:
            self._file.keep_if(lambda record: record["step"] <= first_step)
        records = [] if self._file is None else self._file.records
        self.num_skipped = sum(record["reason"] == "not finite" for record in records)
        self.skipped_in_a_row = 0
        self.confirmed_step: int | None = None
        # A step with one more term has a higher loss: only steps with the same terms are compared.
        self._losses: dict[frozenset[str], deque[float]] = {}
        self._last_spike = -SPIKE_WINDOW

    def add(self, outcome: StepOutcome) -> None:
        """Record the next step; warn if it was skipped or if its loss is a spike."""
        if outcome.is_skipped:
            self._add_skipped(outcome)
            return
        if not math.isfinite(outcome.gradient_norm):
            return  # in fp16, whose loss will be scaled less
        self.skipped_in_a_row = 0
        self.confirmed_step = outcome.step - 1
        before = self._losses.setdefault(frozenset(outcome.terms), deque(maxlen=SPIKE_WINDOW))
        self._look_for_spike(outcome, before)
        before.append(outcome.loss)

    @property
    def is_over(self) -> bool:
        """Whether so many steps in a row were skipped that the run must end."""
        return self.skipped_in_a_row >= self._max_in_a_row

    def _add_skipped(self, outcome: StepOutcome) -> None:
        self.num_skipped += 1
        self.skipped_in_a_row += 1
        names = self._names(outcome.step)
        self._write(outcome, "not finite", names)
        logger.log(
            self._level,
            f"step {outcome.step:,} skipped: its loss is {outcome.loss:g}, the norm of its gradient"
            f" {outcome.gradient_norm:g}; its samples: {_shown(names)}",
        )

    def _look_for_spike(self, outcome: StepOutcome, before: Collection[float]) -> None:
        limit = _spike_limit(before)
        if outcome.loss <= limit:
            return
        names = self._names(outcome.step)
        self._write(outcome, "loss spike", names)
        is_news = outcome.step - self._last_spike >= SPIKE_WINDOW
        self._last_spike = outcome.step
        logger.log(
            self._level if is_news else logging.DEBUG,
            f"loss spike at step {outcome.step:,}: {outcome.loss:.3g}, where the median of the"
            f" {len(before)} steps before is {statistics.median(before):.3g}; its samples: {_shown(names)}",
        )

    def _write(self, outcome: StepOutcome, reason: str, names: list[str]) -> None:
        if self._file is None:
            return
        numbers = {"loss": outcome.loss, **outcome.terms, "gradient_norm": outcome.gradient_norm}
        finite = {name: value if math.isfinite(value) else str(value) for name, value in numbers.items()}
        self._file.append({"step": outcome.step, "reason": reason, **finite, "samples": names})


def _is_record(record: Record) -> bool:
    return type(record.get("step")) is int and isinstance(record.get("reason"), str)


def _spike_limit(losses: Collection[float]) -> float:
    """Return the loss above which a step is a spike; before the spread is known, several times the largest loss."""
    if len(losses) < LEAST_BEFORE_SPIKE:
        return _GROSS_RATIO * max(losses, default=math.inf)
    median = statistics.median(losses)
    spread = _STANDARD_DEVIATIONS_PER_MAD * statistics.median(abs(loss - median) for loss in losses)
    return max(median + SPIKE_DEVIATIONS * spread, _LEAST_RATIO * median)


def _shown(names: list[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMES_SHOWN])
    more = len(names) - _MOST_NAMES_SHOWN
    return f"{shown} and {more:,} more" if more > 0 else shown
