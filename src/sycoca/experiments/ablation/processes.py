"""Runs in processes of their own, so that the crash of one ends no other: start, watch, retry, stop.

The parent holds the lease of every run that it has started: a worker that is killed leaves the run to the same parent,
and a parent that is killed leaves it to whoever comes next. A worker whose parent has ended stops as after a SIGTERM,
with a checkpoint.
"""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from sycoca.experiments.ablation.folder import AblationFolder
from sycoca.experiments.ablation.plan import AblationPlan, PlannedRun
from sycoca.outputs.errors import LeaseHeldError
from sycoca.stop_signals import REQUEUE_CODE, STOP_SIGNALS, handled, number_of, raise_stopped
from sycoca.worker_processes import threads_of_started_processes

logger = logging.getLogger(__name__)

MOST_ATTEMPTS = 3
"""How often a run is started whose process is killed, as where memory is short for a moment."""

_SECONDS_BETWEEN_LOOKS = 2.0
"""How often is looked whether runs of other machines are finished, or abandoned."""

_SECONDS_TO_STOP = 30.0
"""How long workers that are told to stop may take to save a checkpoint."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Completed:
    """A run that has a result."""

    run: PlannedRun

    is_own: bool
    """Whether a worker of this process has made it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A run that has no result."""

    run: PlannedRun
    reason: str
    """What its process said, or how it ended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunJob:
    """What a worker needs: plain data, which is sent to its process."""

    plan: AblationPlan
    folder: AblationFolder
    keeps_weights: bool


@dataclass(kw_only=True, slots=True)
class _Running:
    run: PlannedRun
    process: BaseProcess
    receiver: Connection
    claim: ExitStack
    """Holds the run until it is closed."""


@dataclass(kw_only=True, slots=True)
class _Queue:
    """The runs that are left, and how often each was started."""

    left: deque[PlannedRun]
    attempts: dict[PlannedRun, int] = field(default_factory=dict)


def complete_in_processes(
    job: RunJob, runs: Iterable[PlannedRun], num_processes: int
) -> Generator[Completed | Failure, None, None]:
    """Yield every run once it has a result, whoever made it, and a failure for each that cannot have one.

    At most ``num_processes`` run at once. A killed process is started again, `MOST_ATTEMPTS` times in all; an error
    would come again, and is not retried. When the iterator is closed, or a signal to stop comes, the workers save
    checkpoints and end.
    """
    queue = _Queue(left=deque(runs))
    running: list[_Running] = []
    try:
        while queue.left or running:
            yield from _fill(job, queue, running, num_processes)
            for ended in _ended(running):
                running.remove(ended)
                found = _outcome(job, queue, ended)
                if found is not None:
                    yield found
    finally:
        _stop(running)


def _fill(job: RunJob, queue: _Queue, running: list[_Running], num_processes: int) -> Generator[Completed, None, None]:
    """Start runs that nobody works on while there is room; yield those that others have finished."""
    for _ in range(len(queue.left)):
        if len(running) >= num_processes:
            return
        run = queue.left.popleft()
        if job.folder.result(run).exists():
            yield Completed(run=run, is_own=False)
            continue
        claim = ExitStack()
        if claim.enter_context(job.folder.claim(run)) is None:
            claim.close()
            queue.left.append(run)  # of another process; looked at again later
            continue
        running.append(_started(job, run, claim))
        queue.attempts[run] = queue.attempts.get(run, 0) + 1


def _started(job: RunJob, run: PlannedRun, claim: ExitStack) -> _Running:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    # Not a daemon: loader workers may be started in it.
    process = context.Process(target=_work, args=(job, run, sender), name=run.name)
    with threads_of_started_processes(1), _ignoring_the_terminal():
        process.start()
    sender.close()
    return _Running(run=run, process=process, receiver=receiver, claim=claim)


def _ended(running: list[_Running]) -> list[_Running]:
    """Return the runs whose processes have ended; wait a moment for the first."""
    wait([one.process.sentinel for one in running], timeout=_SECONDS_BETWEEN_LOOKS)
    return [one for one in running if not one.process.is_alive()]


def _outcome(job: RunJob, queue: _Queue, ended: _Running) -> Completed | Failure | None:
    """Release an ended run; return what became of it, None where it is started again."""
    run, code = ended.run, ended.process.exitcode
    ended.process.join()
    has_result = job.folder.result(run).exists()
    if has_result:
        job.folder.tidy(run, keeps_weights=job.keeps_weights)
    ended.claim.close()
    error = _received(ended.receiver)
    if has_result:
        return Completed(run=run, is_own=True)
    if code == REQUEUE_CODE:
        queue.attempts[run] -= 1
        queue.left.append(run)
        return None
    if error is not None:
        return Failure(run=run, reason=error)
    how = f"its process was killed by signal {-code}" if code is not None and code < 0 else f"it ended with code {code}"
    if queue.attempts[run] >= MOST_ATTEMPTS:
        return Failure(run=run, reason=f"{how}, {MOST_ATTEMPTS} times")
    logger.warning("%s: %s; it is started again, from its newest checkpoint", run.name, how)
    queue.left.appendleft(run)
    return None


def _received(receiver: Connection) -> str | None:
    """Return the error that an ended worker has sent, if any."""
    try:
        return receiver.recv() if receiver.poll() else None
    except (EOFError, OSError):
        return None
    finally:
        receiver.close()


def _stop(running: list[_Running]) -> None:
    """Let workers save checkpoints and end; kill those that take too long."""
    for one in running:
        one.process.terminate()
    for one in running:
        one.process.join(_SECONDS_TO_STOP)
        if one.process.is_alive():
            one.process.kill()
            one.process.join()
        one.claim.close()
        one.receiver.close()


@contextmanager
def _ignoring_the_terminal() -> Iterator[None]:
    """Context in which processes that are started ignore a terminal's Ctrl-C: the parent stops them.

    Python allows handlers in the main thread only; workers that another one starts stop by themselves.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _work(job: RunJob, run: PlannedRun, sender: Connection) -> None:
    """Complete a run in a process of its own."""
    # Imported here, since the parent of an analysis alone needs no PyTorch.
    from sycoca.experiments.ablation.one_run import complete_run
    from sycoca.training.engine.interruption import TrainingInterrupted

    in_one_thread()
    logging.getLogger("sycoca").addHandler(logging.NullHandler())  # the run folder's log.txt has the messages
    threading.Thread(target=_stop_with_parent, name="watches the parent", daemon=True).start()
    code = 0
    try:
        with handled(raise_stopped):
            complete_run(job.plan, job.folder, run)
    except LeaseHeldError:
        code = REQUEUE_CODE  # a worker of a killed parent saves its checkpoint at this moment
    except TrainingInterrupted as stopped:
        code = stopped.exit_code
    except KeyboardInterrupt as stopped:
        code = STOP_SIGNALS[number_of(stopped)].exit_code
    except Exception as error:  # noqa: BLE001 (the parent reports it by the name of the run)
        sender.send(f"{type(error).__name__}: {error}")
        code = 1
    # Not while the exception is handled: its traceback would keep alive what is released at its end.
    sys.exit(code)


def in_one_thread() -> None:
    """Let PyTorch compute in one thread: results then depend on no other process, and cores are used fully."""
    import torch

    torch.set_num_threads(1)


def _stop_with_parent() -> None:
    """Send this process a SIGTERM when its parent has ended, so that it saves a checkpoint and ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker is started by multiprocessing"
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
