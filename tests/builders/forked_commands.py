"""Commands in forks of a process that has imported everything: they start in milliseconds, and end as programs do."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Protocol

_SERVER = """
import json, os, sys
import sycoca.training.pretrain
from sycoca.cli.main import main
from sycoca.reports import run_report
for line in sys.stdin:
    words, log = json.loads(line)
    child = os.fork()
    if child == 0:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.exit(main(words))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Running(Protocol):
    """A command that has been started."""

    pid: int
    """Its process."""

    def poll(self) -> int | None:
        """Return its exit code, negative after a signal; None while it runs."""
        ...

    def wait(self, timeout: float = 120) -> int:
        """Wait for its end and return its exit code."""
        ...


class ForkedCommands:
    """Starts commands as forks, one after the other."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )

    def start(self, words: list[str], log: Path) -> "Running":
        """Start a command; what it prints is appended to ``log``."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps([words, str(log)]).encode() + b"\n")
        self._server.stdin.flush()
        return _Forked(int(self._server.stdout.readline()), self._server.stdout)

    def close(self) -> None:
        """End the process that forks."""
        self._server.communicate()


class _Forked:
    def __init__(self, pid: int, codes: IO[bytes]) -> None:
        self.pid = pid
        self._codes = codes
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None and select.select([self._codes], [], [], 0)[0]:
            self._code = int(self._codes.readline())
        return self._code

    def wait(self, timeout: float = 120) -> int:
        if self._code is None and select.select([self._codes], [], [], timeout)[0]:
            self._code = int(self._codes.readline())
        assert self._code is not None, "the command has not ended"
        return self._code


def started(words: list[str], log: Path) -> "Running":
    """Start the real command; what it prints is appended to ``log``."""
    command = [sys.executable, "-m", "sycoca", *words]
    with log.open("ab") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, env={**os.environ, "OMP_NUM_THREADS": "1"})


def signalled(running: Running, number: int) -> float:
    """Send a signal, wait for the end and return the seconds until then."""
    started_at = time.monotonic()
    os.kill(running.pid, number)
    running.wait()
    return time.monotonic() - started_at


def killed(running: Running) -> bool:
    """Kill a command as ``kill -9`` does; return whether it was still running."""
    if running.poll() is None:
        os.kill(running.pid, signal.SIGKILL)
    return running.wait() == -signal.SIGKILL
