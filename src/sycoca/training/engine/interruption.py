"""Ctrl-C in a training run: finish the step, save a checkpoint, name the command that resumes."""

import signal
import threading
from types import FrameType
from typing import Any, final


class TrainingInterrupted(Exception):
    """Raised when a run stops early on request, after its checkpoint has been saved."""

    def __init__(self, resume_command: str, step: int) -> None:
        super().__init__(f"stopped after step {step}, checkpoint saved; resume with: {resume_command}")
        self.step = step
        self.resume_command = resume_command


@final
class StopSignal:
    """Context in which SIGINT (Ctrl-C) and SIGTERM only set a flag; a second signal interrupts at once."""

    def __init__(self) -> None:
        self.is_raised = False
        self._old_handlers: dict[int, Any] = {}

    def __enter__(self) -> "StopSignal":
        # Python allows signal handlers in the main thread only; other threads keep the default behavior.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._old_handlers[number] = signal.signal(number, self._raise_flag)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        self._old_handlers.clear()

    def _raise_flag(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 (the handler's interface)
        if self.is_raised:
            raise KeyboardInterrupt
        self.is_raised = True
