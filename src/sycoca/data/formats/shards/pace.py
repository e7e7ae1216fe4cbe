"""How far training is, told to a thread that reads ahead of it."""

import threading
from collections.abc import Callable
from typing import final


@final
class Pace:
    """A thread that works as far ahead of training as it may; `advance` tells how far training is."""

    def __init__(self, name: str, ahead: int, run: Callable[[], None]) -> None:
        """Prepare a thread that executes ``run``; it calls `wait_for` to stay at most ``ahead`` samples in front."""
        self.consumed = 0
        self._ahead = ahead
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def advance(self, consumed: int) -> None:
        """Tell that training has taken so many samples since it began here."""
        with self._changed:
            self.consumed = consumed
            self._changed.notify()

    def close(self) -> None:
        """Stop the thread at its next `wait_for`, and wait for it."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def wait_for(self, turn: int) -> bool:
        """Wait, in the thread, until a sample's turn is near enough; return whether to continue."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or turn <= self.consumed + self._ahead)
            return not self._is_closed
