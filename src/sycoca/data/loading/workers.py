"""Micro-batches of crops, read by worker processes; workers that die are replaced.

A reader knows the number of the next micro-batch. When a worker has died, it kills the others and starts anew from that
number: samples and crops depend on nothing else, so the batches are the same.
"""

import atexit
import gc
import logging
import os
import signal
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import final

import torch
from torch.utils.data import DataLoader
from torch.utils.data._utils import signal_handling

from sycoca.data.loading.crops import CropBatch, TrainingCrops, stack_crops
from sycoca.data.loading.order import SamplePosition
from sycoca.worker_processes import leave_stopping_to, starting_process

logger = logging.getLogger(__name__)

MOST_DEATHS = 3
"""Deaths of workers after which a run should save and end. One may be an accident; where memory is short, or an image
crashes its decoder, every replacement dies too, and the batches that it had prefetched are read again each time."""

_SECONDS_TO_END = 5.0
_SECONDS_UNTIL_DEATH_SHOWS = 0.5
"""A dying process closes its sockets, which ends a read with an error, a moment before its end can be seen."""


@final
class WorkerDeaths:
    """Counts and reports the workers of a run that died."""

    def __init__(self, reader: str = "") -> None:
        """``reader``: which process of a run has lost them, for messages."""
        self._reader = reader
        self._count = 0

    @property
    def are_too_many(self) -> bool:
        """Whether the run should save and end."""
        return self._count >= MOST_DEATHS

    def add(self, workers: Sequence[BaseProcess]) -> None:
        """Count workers, and log one warning."""
        self._count += len(workers)
        ends = ", ".join(f"{worker.pid} ({_end_of(worker)})" for worker in workers)
        some = f"loader worker{'s' if len(workers) > 1 else ''} {ends} died"
        where = " in the training process" if self.are_too_many else ""
        logger.warning(f"{self._reader}{some}; {'their' if len(workers) > 1 else 'its'} batches are read again{where}")


@final
class CropReader:
    """Yields the crops of micro-batches in order, without end; `close` ends the workers."""

    def __init__(
        self,
        crops: TrainingCrops,
        batches_from: Callable[[int], Iterator[list[SamplePosition]]],
        first: int,
        *,
        num_workers: int,
        pin_memory: bool,
        deaths: WorkerDeaths,
    ) -> None:
        """Start with micro-batch number ``first`` of those that ``batches_from`` a number yields."""
        self._crops = crops
        self._batches_from = batches_from
        self._next = first
        self._num_workers = num_workers
        self._pin_memory = pin_memory
        self._deaths = deaths
        self._is_waiting = False
        self._pid = os.getpid()
        self._workers: list[BaseProcess] = []
        if num_workers > 0:
            # Workers ignore SIGTERM, by which multiprocessing ends them at exit before it waits for them.
            atexit.register(self._end_at_exit)
            self._replace_handler()
        self._start()

    def __iter__(self) -> "CropReader":
        return self

    def __next__(self) -> CropBatch:
        while True:
            try:
                batch = self._read()
            except (Exception, _WorkerDied):
                dead = self._lost or self._soon_dead()
                if not dead:
                    raise
            else:
                self._next += 1
                return batch
            self._deaths.add(dead)
            self._discard()
            self._start()

    def close(self) -> None:
        """End the workers; signals have their old handler again."""
        if self._dead():
            self._discard()
        else:
            del self._batches  # ends its workers
            self._kill()
        atexit.unregister(self._end_at_exit)
        if _can_handle_signals() and signal.getsignal(signal.SIGCHLD) == self._handle:
            signal.signal(signal.SIGCHLD, self._old_handler)

    def _start(self) -> None:
        num_workers = 0 if self._deaths.are_too_many else self._num_workers
        loader = DataLoader(
            self._crops,
            batch_sampler=self._batches_from(self._next),  # pyright: ignore[reportArgumentType]
            collate_fn=stack_crops,
            num_workers=num_workers,
            pin_memory=self._pin_memory,
            # Without its own generator the loader would use PyTorch's global one.
            generator=torch.Generator(),
            worker_init_fn=partial(_prepare_worker, starting_process()),
        )
        self._lost: list[BaseProcess] = []
        self._batches = iter(loader)
        self._workers = self._batches._workers if num_workers else []  # pyright: ignore

    def _read(self) -> CropBatch:
        if self._dead():
            raise _WorkerDied
        try:
            self._is_waiting = True
            return next(self._batches)
        finally:
            self._is_waiting = False

    def _dead(self) -> list[BaseProcess]:
        return [worker for worker in self._workers if not worker.is_alive()]

    def _soon_dead(self) -> list[BaseProcess]:
        """Return the dead workers, also those of which only the sockets are closed yet."""
        if self._workers:
            ending = wait([worker.sentinel for worker in self._workers], timeout=_SECONDS_UNTIL_DEATH_SHOWS)
            for worker in self._workers:
                if worker.sentinel in ending:
                    worker.join(_SECONDS_TO_END)
        return self._dead()

    def _replace_handler(self) -> None:
        """Replace PyTorch's handler, which raises RuntimeError at any moment: in the middle of a step, or of saving."""
        if _can_handle_signals():
            signal_handling._set_SIGCHLD_handler()  # at most once, so not when the workers start
            self._old_handler = signal.getsignal(signal.SIGCHLD)
            signal.signal(signal.SIGCHLD, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if callable(self._old_handler):
            try:
                self._old_handler(number, frame)
            except RuntimeError as error:
                if "DataLoader worker" not in str(error):
                    raise
        # Where this process waits it may wait forever, since a worker can die in the middle of a message.
        dead = self._dead() if self._is_waiting else []
        if dead:
            self._lost, self._is_waiting = dead, False
            self._kill()  # first, since the others would print an error about a connection that breaks
            raise _WorkerDied

    def _discard(self) -> None:
        """End all workers, also where one has died while it held a lock."""
        self._kill()
        batches = [self._batches]
        del self._batches
        # In a thread, since it may wait for that lock forever.
        thread = threading.Thread(target=_forget, args=(batches,), daemon=True)
        thread.start()
        thread.join(_SECONDS_TO_END)

    def _end_at_exit(self) -> None:
        if os.getpid() == self._pid:  # not in a fork of this process
            self._kill()
        self._workers = []

    def _kill(self) -> None:
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.join(_SECONDS_TO_END)


class _WorkerDied(BaseException):
    """Raised while the reader waits for a batch, or before, past any ``except Exception`` on the way."""


def _prepare_worker(parent: int | None, number: int) -> None:  # noqa: ARG001 (the loader's interface)
    """Leave stopping to the training process, which still needs batches to finish its step."""
    leave_stopping_to(parent)


def _forget(batches: list[object]) -> None:
    """Drop the only reference in a list."""
    remaining = weakref.ref(batches.pop())
    if remaining() is not None:
        gc.collect()  # an error has left a cycle, which must not be collected in a new worker


def _can_handle_signals() -> bool:
    """Return whether Python allows a handler here; Windows lacks the signal."""
    return hasattr(signal, "SIGCHLD") and starting_process() is not None


def _end_of(worker: BaseProcess) -> str:
    code = worker.exitcode
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:  # real-time signals have no name
        return f"signal {-code}"
