"""Values of a step that all processes agree on: whether it failed, its global loss, and whether to stop."""

from typing import final

from sycoca.training.engine.distributed.collectives import GatheredNumbers
from sycoca.training.engine.step_review import StepOutcome, StepReview
from sycoca.training.engine.update import Updater, UpdateResult


@final
class StepWatch:
    """Gathers the results of each step from all processes and has them reviewed.

    With several processes or on a GPU they are read while the next step runs, unless `read` asks for them; then no step
    waits for the host, and all processes stop after the same step.
    """

    def __init__(self, updater: Updater, review: StepReview) -> None:
        self.review = review
        self.stop_number = 0
        self._updater = updater
        self._reads_late = updater.runtime.world_size > 1 or updater.runtime.device.type != "cpu"
        self._pending: tuple[int, GatheredNumbers] | None = None

    @property
    def is_stopping(self) -> bool:
        """Whether any process has got a signal to stop, known to all of them."""
        return self.stop_number > 0

    def add(self, step: int, result: UpdateResult, *, stop_number: int) -> None:
        """Take in the result of a step; ``stop_number``: the signal to stop that this process has got, 0 for none."""
        self.read()
        runtime = self._updater.runtime
        self._pending = step, runtime.gather_numbers([result.loss, result.gradient_norm, float(stop_number)])
        if runtime.world_size == 1:
            self.stop_number = stop_number
        if not self._reads_late:
            self.read()

    def read(self) -> None:
        """Review the last step now, if that has not happened yet."""
        if self._pending is None:
            return
        step, gathered = self._pending
        self._pending = None
        rows = gathered.rows()
        loss, norm = sum(row[0] for row in rows), rows[0][1]
        self.stop_number = max(self.stop_number, *(int(row[2]) for row in rows))
        is_skipped = self._updater.is_failure(loss, norm)
        self.review.add(StepOutcome(step=step, loss=loss, gradient_norm=norm, is_skipped=is_skipped))
