"""Worker processes: how many, how they end, and a pool of them for independent pieces of work."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from sycoca.stop_signals import STOP_SIGNALS

Job = TypeVar("Job")
Piece = TypeVar("Piece")
Result = TypeVar("Result")

_PR_SET_PDEATHSIG = 1

_current: list[Any] = []
"""The job of this worker process."""


def usable_cores() -> int:
    """Return the number of processors that the system or its container allows this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def threads_of_started_processes(num_threads: int) -> Iterator[None]:
    """Context in which processes that are started use so many threads of OpenMP, which reads its environment once."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(num_threads)
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def starting_process() -> int | None:
    """Return the process that `leave_stopping_to` names; None outside of its main thread."""
    return os.getpid() if threading.current_thread() is threading.main_thread() else None


def leave_stopping_to(parent: int | None) -> None:
    """Let this worker ignore signals to stop, and end with the ``parent``, whose main thread has started it.

    A terminal or a scheduler sends such a signal to all processes; the parent decides what its workers still do. Linux
    ends them at once with a killed parent, but also when the thread ends that has started them.
    """
    for stop in STOP_SIGNALS:
        signal.signal(stop, signal.SIG_IGN)
    if parent is None or not sys.platform.startswith("linux") or multiprocessing.get_start_method() != "fork":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:  # it was killed before the call
        os._exit(1)


def results_of(
    job: Job, work: Callable[[Job, Piece], Result], pieces: Iterable[Piece], *, num_workers: int
) -> Generator[Result, None, None]:
    """Yield ``work(job, piece)`` for each piece, in the order in which they are done.

    Args:
        job: what all pieces have in common; a worker gets it once, by fork where that is how processes start.
        work: a function of a module, so that a worker finds it by its name.
        pieces: the pieces.
        num_workers: worker processes; 0 works in this process.

    Raises ChildProcessError where a worker died. Workers are killed when the caller stops, so what they write must be
    whole or not there.
    """
    if num_workers == 0:
        yield from (work(job, piece) for piece in pieces)
        return
    with _pool(job, num_workers) as pool:
        futures = [pool.submit(_work, work, piece) for piece in pieces]
        try:
            yield from (future.result() for future in as_completed(futures))
        except BrokenProcessPool as error:
            raise ChildProcessError("a worker process died; perhaps it was killed because memory was short") from error


@contextmanager
def _pool(job: object, num_workers: int) -> Iterator[ProcessPoolExecutor]:
    pool = ProcessPoolExecutor(num_workers, initializer=_begin, initargs=(job, starting_process()))
    try:
        yield pool
    except BaseException:  # also GeneratorExit, where the caller stops
        for process in list((pool._processes or {}).values()):
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(job: object, parent: int | None) -> None:
    leave_stopping_to(parent)
    _current.append(job)


def _work(work: Callable[[Any, Piece], Result], piece: Piece) -> Result:
    return work(_current[-1], piece)
