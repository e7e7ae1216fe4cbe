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
        self._pending: tuple[int, list[str], GatheredNumbers] | None = None

    @property
    def is_stopping(self) -> bool:
        """Whether any process has got a signal to stop, known to all of them."""
        return self.stop_number > 0

    def add(self, step: int, result: UpdateResult, *, stop_number: int) -> None:
        """Take in the result of a step; ``stop_number``: the signal to stop that this process has got, 0 for none."""
        self.read()
        runtime = self._updater.runtime
        numbers = [result.gradient_norm, float(stop_number), result.loss, *result.terms.values()]
        self._pending = step, list(result.terms), runtime.gather_numbers(numbers)
        if runtime.world_size == 1:
            self.stop_number = stop_number
        if not self._reads_late:
            self.read()

    def read(self) -> None:
        """Review the last step now, if that has not happened yet."""
        if self._pending is None:
            return
        step, names, gathered = self._pending
        self._pending = None
        norms, stop_numbers, *parts = zip(*gathered.rows(), strict=True)
        loss, *terms = map(sum, parts)
        self.stop_number = max(self.stop_number, *map(int, stop_numbers))
        is_skipped = self._updater.is_failure(loss, norms[0])
        named = dict(zip(names, terms, strict=True))
        self.review.add(StepOutcome(step=step, loss=loss, terms=named, gradient_norm=norms[0], is_skipped=is_skipped))
