"""Worker processes of the engine ``local``. Each sends its progress through a pipe of its own: a queue that they share
would stay locked when one of them is killed."""

import logging
import multiprocessing
import os
import pickle
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import torch

from sycoca.mapping.local import map_unclaimed
from sycoca.mapping.worker import Advance, Job, Worker
from sycoca.stop_signals import STOP_SIGNALS, handled, number_of, raise_stopped
from sycoca.worker_processes import threads_of_started_processes

logger = logging.getLogger(__name__)

_SECONDS_TO_END = 10.0
"""How long processes that are told to stop may take to release their blocks."""


@dataclass(frozen=True, slots=True)
class Note:
    """A message of a worker's log."""

    level: int
    text: str


Message = Advance | Note | Exception
"""What workers send."""


def map_in_processes(job: Job, num_workers: int, num_threads: int) -> Generator[Advance, None, None]:
    """Start workers and yield what they do, until every block has its file.

    A worker that is killed is reported, and the others take its block over. Raises the error of a worker that fails,
    after stopping the others; RuntimeError where all were killed.
    """
    with _started(job, num_workers, num_threads) as running:
        told: set[str] = set()
        while running:
            for connection in wait(list(running)):
                assert isinstance(connection, Connection)
                try:
                    message: Message = connection.recv()
                except (EOFError, OSError):
                    _note_end(running.pop(connection), is_last=not running)
                    continue
                match message:
                    case Advance():
                        yield message
                    case Note():
                        if message.text not in told:  # every worker says the same of its model
                            told.add(message.text)
                            logger.log(message.level, "%s", message.text)
                    case Exception():
                        raise message


def device_of(name: str, number: int) -> str:
    """Return the device of a worker: with several accelerators and none named, each gets its own.

    torchrun and its like say which process of the machine this is by LOCAL_RANK.
    """
    if name != "auto" or not torch.accelerator.is_available():
        return name
    accelerator = torch.accelerator.current_accelerator()
    assert accelerator is not None
    count = torch.accelerator.device_count()
    return f"{accelerator.type}:{number % count}" if count > 1 else name


def local_rank() -> int:
    """Return the number of this process among those that a launcher has started on this machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def _started(job: Job, num_workers: int, num_threads: int) -> Iterator[dict[Connection, BaseProcess]]:
    """Context with running workers by the pipes that they write to; they are stopped at its end."""
    context = multiprocessing.get_context("spawn")
    running: dict[Connection, BaseProcess] = {}
    processes: list[BaseProcess] = []
    try:
        for number in range(num_workers):
            receiver, sender = context.Pipe(duplex=False)
            device = device_of(job.model.device, local_rank() * num_workers + number)
            own = replace(job, model=replace(job.model, device=device))
            process = context.Process(
                target=_work, args=(own, number / num_workers, num_threads, sender), name=f"map-{number}", daemon=True
            )
            with threads_of_started_processes(num_threads):
                process.start()
            sender.close()
            processes.append(process)
            running[receiver] = process
        yield running
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(_SECONDS_TO_END)
        for receiver in running:
            receiver.close()


def _note_end(process: BaseProcess, *, is_last: bool) -> None:
    process.join()
    code = process.exitcode
    if code == 0:  # every block has its file
        return
    how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
    if is_last:
        raise RuntimeError(f"worker process {process.pid} {how}, and no other worker is left; run the command again")
    logger.warning("worker process %d %s; the others take its block over", process.pid, how)


def _work(job: Job, begin: float, num_threads: int, sender: Connection) -> None:
    """Map blocks in a process of its own."""
    torch.set_num_threads(num_threads)
    logger_of_all = logging.getLogger("sycoca")
    logger_of_all.setLevel(logging.INFO)
    logger_of_all.addHandler(_Sender(sender))
    code = 0
    try:
        with handled(raise_stopped):
            _send_advances(job, begin, sender)
    except KeyboardInterrupt as interrupt:  # its block is released
        code = STOP_SIGNALS[number_of(interrupt)].exit_code
    except BrokenPipeError:  # the parent is gone
        code = 1
    # Not while the exception is handled: its traceback would keep alive what is released at its end.
    sys.exit(code)


def _send_advances(job: Job, begin: float, sender: Connection) -> None:
    try:
        for advance in map_unclaimed(Worker.begin(job), begin=begin):
            sender.send(advance)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 (raised in the parent)
        sender.send(_sendable(error))


class _Sender(logging.Handler):
    """Sends messages to the parent, which shows each once."""

    def __init__(self, sender: Connection) -> None:
        super().__init__()
        self._sender = sender

    def emit(self, record: logging.LogRecord) -> None:
        """Send a message."""
        with suppress(OSError):
            self._sender.send(Note(record.levelno, record.getMessage()))


def _sendable(error: Exception) -> Exception:
    """Return an error as the parent can read it."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 (whatever an error's own constructor raises)
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
