"""Runs of two processes, started as torchrun starts them, and what became of each."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RUN = [
    *("pretrain", "tiny", "--data.train", "scenes:?count=32&size=16", "--data.validation", "None"),
    *("--data.num-workers", "0", "--training.global-batch-size", "4", "--runtime.device", "cpu"),
    *("--training.log-every", "1", "--training.save-every", "5", "--training.no-report", "--training.no-tensorboard"),
]
"""A small run that saves often; add --out and --training.steps."""

_ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def free_port() -> int:
    """Return a port that no program listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Rank:
    """One process of a run."""

    def __init__(self, rank: int, port: int, words: list[str], first: str = "", num_processes: int = 2) -> None:
        """``first``: statements that the process executes before the command."""
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": num_processes}
        place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        program = f"import sys\n{first}\nfrom sycoca.cli.main import main\nsys.exit(main(sys.argv[1:]))"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *words],
            env={**_ENVIRONMENT, **{name: str(value) for name, value in place.items()}},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def end(self, seconds: float) -> tuple[int, list[str], float]:
        """Wait for the end; return the exit code, the lines of stderr without those of steps, and the seconds."""
        started_at = time.monotonic()
        _, error = self.process.communicate(timeout=seconds)
        lines = [line for line in error.splitlines() if not line.startswith("step ")]
        return self.process.returncode, lines, time.monotonic() - started_at


@contextmanager
def two_processes(words: list[str], first: tuple[str, str] = ("", "")) -> Iterator[tuple[Rank, Rank]]:
    """Start two processes of one run; whatever is left of them at the end is killed."""
    port = free_port()
    ranks = Rank(0, port, words, first[0]), Rank(1, port, words, first[1])
    try:
        yield ranks
    finally:
        for rank in ranks:
            rank.process.kill()
            rank.process.communicate()


def wait_for_steps(run: Path, num_steps: int, process: "subprocess.Popen[str]", seconds: float = 120) -> None:
    """Wait until a run has logged so many steps."""
    deadline = time.monotonic() + seconds
    metrics = run / "metrics.jsonl"
    while not metrics.exists() or len(metrics.read_bytes().splitlines()) < num_steps:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
