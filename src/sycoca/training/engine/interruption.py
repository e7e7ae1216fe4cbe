"""Signals to stop a training run: finish the step, save a checkpoint, name the command that resumes."""

from contextlib import AbstractContextManager
from types import FrameType
from typing import final

from sycoca.stop_signals import INTERRUPT, STOP_SIGNALS, Stopped, handled


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
    """Context in which the signals to stop only set a flag; a second signal interrupts at once."""

    def __init__(self) -> None:
        self.number = 0
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
        if self.is_raised:
            raise Stopped(number)
        self.number = number
