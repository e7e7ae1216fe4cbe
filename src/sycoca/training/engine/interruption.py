"""Reasons to stop a training run early: finish the step, save a checkpoint, name the command that resumes."""

import logging
import os
import time
from contextlib import AbstractContextManager
from types import FrameType
from typing import final

from sycoca.stop_signals import INTERRUPT, STOP_SIGNALS, TERMINATE, Stopped, handled

logger = logging.getLogger(__name__)

REPEATED_WITHIN_SECONDS = 1.0
"""A signal that follows another one within this time is the same request: some senders, such as ``timeout``, signal a
process and then its group."""

WORKERS_DIED = 1000
"""Stands for dead loader workers where processes tell each other the number of the signal that stops them."""


_STARTED_AS = os.getpid(), os.getppid()
"""This process and its parent, which is torchrun where that has launched it."""


class TrainingInterrupted(Exception):
    """Raised when a run stops early on request, after its checkpoint has been saved."""

    def __init__(self, resume_command: str, step: int, number: int = INTERRUPT) -> None:
        """``number``: that of the signal, a key of `STOP_SIGNALS`."""
        self.reason = f"stopped after step {step}, checkpoint saved; resume with:"
        super().__init__(f"{self.reason} {resume_command}")
        self.step = step
        self.resume_command = resume_command
        self.number = number

    @property
    def exit_code(self) -> int:
        """The exit code of a command that was stopped so."""
        return STOP_SIGNALS[self.number].exit_code


class LoaderWorkersDiedError(ChildProcessError):
    """Raised when a run stops early since its loader workers die, after its checkpoint has been saved."""

    exit_code = 1

    def __init__(self, resume_command: str, step: int) -> None:
        """``resume_command``: with fewer workers."""
        self.reason = (
            "loader workers died again and again, mostly because memory is short; stopped after step"
            f" {step}, checkpoint saved; resume with fewer workers:"
        )
        super().__init__(f"{self.reason} {resume_command}")
        self.step = step
        self.resume_command = resume_command


@final
class StopSignal:
    """Context in which the signals to stop only set a flag; a second signal, a second later, interrupts at once.

    When torchrun is killed its processes run on, and nobody could stop them any more; so that counts as a SIGTERM.
    """

    def __init__(self) -> None:
        self._number = 0
        self._came_at = 0.0
        self._handled: AbstractContextManager[None] = handled(self._set)
        own, parent = _STARTED_AS
        is_launched = "TORCHELASTIC_RUN_ID" in os.environ
        self._launcher = None if not is_launched else parent if own == os.getpid() else os.getppid()

    @property
    def number(self) -> int:
        """The number of the signal that has come; 0 for none."""
        if not self._number and self._launcher not in (None, os.getppid()):
            self._number = TERMINATE
            level = logging.WARNING if os.environ.get("LOCAL_RANK") == "0" else logging.DEBUG
            logger.log(level, "torchrun has ended without its processes; stopping as after a SIGTERM")
        return self._number

    def __enter__(self) -> "StopSignal":
        self._handled.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._handled.__exit__(None, None, None)

    def _set(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 (the handler's interface)
        now = time.monotonic()
        if not self._number:
            self._number, self._came_at = number, now
        elif now - self._came_at >= REPEATED_WITHIN_SECONDS:
            raise Stopped(number)
