"""Dynamic batching: one thread computes what several requests ask for in one forward pass."""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, final

Compute = Callable[[Sequence[Any]], Sequence[Any]]
"""Computes the result of each of some inputs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """What is computed together."""

    name: str
    """Name in metrics."""

    compute: Compute
    """Returns a result per input, in their order."""

    options: Hashable = None
    """Only inputs with equal options go into the same batch."""

    is_batched: bool = True
    """Whether several inputs can be computed at a time."""

    def goes_with(self, other: "Kind") -> bool:
        """Return whether inputs of both can be computed in one batch."""
        return self.is_batched and (self.name, self.options) == (other.name, other.options)


@dataclass(frozen=True, slots=True)
class _Job:
    kind: Kind
    item: Any
    future: "Future[Any]" = field(default_factory=Future)
    submitted_at: float = field(default_factory=time.monotonic)


@final
class Batcher:
    """A queue and the thread that computes what is in it, in batches of inputs of the same kind.

    A model is used by this thread alone. The oldest input is computed first, with all others of its kind. A batch
    begins once it is full, or ``wait_seconds`` after its oldest input came; while a batch is computed, the next one
    collects. Each input's result or error reaches its own future: where a batch fails, each of its inputs is computed
    alone, so that one that cannot be computed spoils no other's answer.
    """

    def __init__(
        self, max_batch_size: int, wait_seconds: float, on_batch: Callable[[str, int, float], None] | None = None
    ) -> None:
        self._max_batch_size = max_batch_size
        self._wait_seconds = wait_seconds
        self._on_batch = on_batch
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        with self._changed:
            self._leave_out_cancelled()
            return len(self._jobs)

    def submit(self, kind: Kind, item: object) -> "Future[Any]":
        """Return the future result of an input. One that is cancelled before it is computed is left out."""
        job = _Job(kind, item)
        with self._changed:
            if self._is_closed:
                raise RuntimeError("the server is stopping")
            # However many clients come and go during a long batch, the queue holds those that wait.
            self._leave_out_cancelled()
            self._jobs.append(job)
            self._changed.notify()
        return job.future

    def close(self) -> None:
        """Compute what is in the queue, then end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            running = [job for job in batch if job.future.set_running_or_notify_cancel()]
            if running:
                started_at = time.monotonic()
                _compute(running)
                if self._on_batch is not None:
                    self._on_batch(running[0].kind.name, len(running), time.monotonic() - started_at)

    def _next_batch(self) -> list[_Job]:
        """Wait for inputs and take those of the next batch out of the queue; empty once the batcher is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._is_closed)
            if not self._jobs:
                return []
            first = self._jobs[0]
            self._changed.wait_for(
                lambda: self._is_closed or self._num_with(first) >= self._most_with(first),
                first.submitted_at + self._wait_seconds - time.monotonic(),
            )
            batch = [first, *(job for job in self._jobs if job is not first and job.kind.goes_with(first.kind))]
            batch = batch[: self._most_with(first)]
            taken = set(map(id, batch))
            self._jobs = deque(job for job in self._jobs if id(job) not in taken)
            return batch

    def _leave_out_cancelled(self) -> None:
        self._jobs = deque(job for job in self._jobs if not job.future.cancelled())

    def _most_with(self, first: _Job) -> int:
        return self._max_batch_size if first.kind.is_batched else 1

    def _num_with(self, first: _Job) -> int:
        return 1 + sum(job is not first and job.kind.goes_with(first.kind) for job in self._jobs)


def _compute(jobs: Sequence[_Job]) -> None:
    try:
        results = jobs[0].kind.compute([job.item for job in jobs])
        found = list(zip(jobs, results, strict=True))
    except Exception as error:  # noqa: BLE001 (whatever it is, it is the answer of this input)
        if len(jobs) == 1:
            jobs[0].future.set_exception(error)
            return
        for job in jobs:
            _compute([job])
        return
    for job, result in found:
        job.future.set_result(result)
