"""Errors about outputs: those before the work begins are wrong usage for the command line (exit code 2)."""

from dataclasses import dataclass
from pathlib import Path

from sycoca.stop_signals import INTERRUPT


class OutputError(ValueError):
    """An output that is refused before the work begins: it exists, cannot be written, or another process writes it."""


class LeaseHeldError(OutputError):
    """An output that another process, or another thread of this one, is writing."""


class LeaseLostError(OSError):
    """Another process has taken an output over, since this one was not heard of for too long."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Remains:
    """What is left of an output whose writing was cut short."""

    path: Path
    """The output."""

    state: str
    """What is there now, as the rest of a sentence about the path."""

    can_resume: bool = False
    """Whether the same call resumes the output with ``resume=True`` (``--resume``)."""

    command: str | None = None
    """Another command that resumes it."""

    def __str__(self) -> str:
        return f"{self.path} {self.state}"


class OutputInterrupted(KeyboardInterrupt):
    """Ctrl-C, or another signal to stop, while an output was written; says what is left of it."""

    def __init__(self, remains: Remains, number: int = INTERRUPT) -> None:
        """``number``: that of the signal."""
        super().__init__(f"interrupted; {remains}")
        self.remains = remains
        self.number = number


class DiskFullError(OSError):
    """No space for an output: a full disk, a quota or a limit on the size of files; says what is left of it."""

    def __init__(self, reason: str, remains: Remains) -> None:
        super().__init__(f"{reason}; {remains}")
        self.remains = remains
