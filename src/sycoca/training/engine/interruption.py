"""Signals to stop a training run: finish the step, save a checkpoint, name the command that resumes."""

import time
from contextlib import AbstractContextManager
from types import FrameType
from typing import final

from sycoca.stop_signals import INTERRUPT, STOP_SIGNALS, Stopped, handled

REPEATED_WITHIN_SECONDS = 1.0
"""A signal that follows another one within this time is the same request: some senders, such as ``timeout``, signal a
process and then its group."""


class TrainingInterrupted(Exception):
    """Raised when a run stops early on request, after its checkpoint has been saved."""

    def __init__(self, resume_command: str, step: int, number: int = INTERRUPT) -> None:
        """``number``: that of the signal, a key of `STOP_SIGNALS`."""
        super().__init__(f"stopped after step {step}, checkpoint saved; resume with: {resume_command}")
        self.step = step
        self.resume_command = resume_command
        self.number = number

    @property
    def exit_code(self) -> int:
        """The exit code of a command that was stopped so."""
        return STOP_SIGNALS[self.number].exit_code


@final
class StopSignal:
    """Context in which the signals to stop only set a flag; a second signal, a second later, interrupts at once."""

    def __init__(self) -> None:
        self.number = 0
        self._came_at = 0.0
        self._handled: AbstractContextManager[None] = handled(self._set)

    @property
    def is_raised(self) -> bool:
        """Whether a signal has come."""
        return self.number > 0

    def __enter__(self) -> "StopSignal":
        self._handled.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._handled.__exit__(None, None, None)

    def _set(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 (the handler's interface)
        now = time.monotonic()
        if not self.is_raised:
            self.number, self._came_at = number, now
        elif now - self._came_at >= REPEATED_WITHIN_SECONDS:
            raise Stopped(number)
