"""The signals that ask a program to stop, and the exit codes that say which one came."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class StopFacts:
    """A signal to stop."""

    name: str
    """Its name in messages."""

    exit_code: int
    """Exit code of a command that it has stopped."""


REQUEUE_CODE = 75
"""EX_TEMPFAIL of sysexits.h: schedulers may run the job again."""

INTERRUPT = int(signal.SIGINT)

TERMINATE = int(signal.SIGTERM)

STOP_SIGNALS: Mapping[int, StopFacts] = {
    int(getattr(signal, name)): StopFacts(name=title, exit_code=code)
    for name, title, code in (
        ("SIGINT", "Ctrl-C (SIGINT)", 130),
        ("SIGTERM", "SIGTERM", 143),
        ("SIGHUP", "SIGHUP, a terminal that was closed", 129),
        ("SIGUSR1", "SIGUSR1, a warning before a time limit", REQUEUE_CODE),
    )
    if hasattr(signal, name)  # Windows lacks the last two
}
"""All signals that stop a command, by number."""


class Stopped(KeyboardInterrupt):
    """A signal to stop, as Ctrl-C raises KeyboardInterrupt."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {STOP_SIGNALS[number].name}")
        self.number = number


def number_of(interrupt: KeyboardInterrupt) -> int:
    """Return the number of the signal behind a KeyboardInterrupt; that of Ctrl-C where it does not say."""
    return getattr(interrupt, "number", INTERRUPT)


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Context in which a handler gets the signals to stop; afterwards the old handlers are back.

    Signals that the process was started to ignore stay ignored (nohup). Python allows handlers in the main thread only;
    in other threads nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old: dict[int, Any] = {}
    try:
        for number in STOP_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                old[number] = signal.signal(number, handler)
        yield
    finally:
        for number, old_handler in old.items():
            signal.signal(number, signal.SIG_DFL if old_handler is None else old_handler)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Context in which a library may install handlers of its own; afterwards those of before are back."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    if threading.current_thread() is threading.main_thread():
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, handler)  # once more, even if it is the same: it may be replaced below Python's


def raise_stopped(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the handler's interface)
    """Raise `Stopped`: a handler that ends the work as Ctrl-C does."""
    raise Stopped(number)
