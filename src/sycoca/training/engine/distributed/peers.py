"""The other processes as a heartbeat sees them, and the messages between them."""

import contextlib
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

_MOST_UNREAD_BYTES = 64 * 1024

Message = Mapping[str, Any]
"""A JSON object: empty for a beat."""


@dataclass(kw_only=True, slots=True)
class Peer:
    """Another process of the run."""

    rank: int
    """Its rank."""

    host: str
    """Its host."""

    pid: int | None = None
    """Its process id; None before its first message."""

    num_missed: int = 0
    """Beats of this process since it was heard."""

    has_left: bool = False
    """Whether it has said goodbye."""

    heard_at: float = field(default_factory=time.time)
    """When it was heard, in seconds since the epoch."""

    def __str__(self) -> str:
        process = "" if self.pid is None else f"process {self.pid} "
        return f"rank {self.rank} ({process}on {self.host})"

    def hear(self) -> None:
        """Note that it was heard."""
        self.num_missed, self.heard_at = 0, time.time()


@final
class MessageSocket:
    """A connection that carries messages, one line of JSON each, and never blocks."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._unread = b""

    def fileno(self) -> int:
        """Return the file descriptor, for selectors."""
        return self._connection.fileno()

    def send(self, message: Message) -> None:
        """Send a message; nothing happens where the connection is closed or its other end reads nothing."""
        with contextlib.suppress(OSError):
            self._connection.send(json.dumps(message).encode("ascii") + b"\n")

    def read(self) -> tuple[list[Message], bool]:
        """Return the messages that have come, and whether the connection has been closed from the other end.

        A stream that does not hold messages counts as closed.
        """
        try:
            received = self._connection.recv(_MOST_UNREAD_BYTES)
        except BlockingIOError:
            return [], False
        except OSError:
            return [], True
        *lines, self._unread = (self._unread + received).split(b"\n")
        try:
            messages = [json.loads(line) for line in lines]
        except (ValueError, RecursionError):
            return [], True
        is_sound = all(isinstance(message, dict) for message in messages) and len(self._unread) < _MOST_UNREAD_BYTES
        return (messages if is_sound else []), not received or not is_sound

    def finish(self) -> None:
        """Close the connection; the other end still gets what has been sent."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)
        self.close()

    def close(self) -> None:
        """Close this process's end."""
        self._connection.close()
