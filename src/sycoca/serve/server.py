"""Running the application: a listening socket, and an end that answers everybody."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import final

import uvicorn
from fastapi import FastAPI

from sycoca.serve.connections import patient_protocol
from sycoca.serve.settings import ServeSettings
from sycoca.stop_signals import handled


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes a free one. Raises OSError that names the address."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen(2048)
        except (OSError, OverflowError):
            listener.close()
            raise
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OSError(f"cannot listen at {host}, port {port}: {reason}; choose another --host or --port") from error
    return listener


def address_of(listener: socket.socket) -> str:
    """Return the address under which a browser on this machine finds a listening socket."""
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How a server has ended."""

    signal: int | None
    """Number of the signal that stopped it; None where it was stopped otherwise."""

    has_answered_all: bool
    """Whether all requests that had come by then were answered."""


def run_server(app: FastAPI, listener: socket.socket, settings: ServeSettings) -> Ending:
    """Serve until a signal to stop comes, answer what is asked by then, and say how that ended.

    A second signal ends at once.
    """
    return Server(app, settings).run_until_stopped(listener)


@final
class Server(uvicorn.Server):
    """uvicorn with the signals of all commands."""

    def __init__(self, app: FastAPI, settings: ServeSettings) -> None:
        self.signal: int | None = None
        self._has_answered_all = True
        super().__init__(
            uvicorn.Config(
                app,
                http=patient_protocol(settings),
                ws="none",
                lifespan="on",
                loop="asyncio",
                log_config=None,
                log_level="critical",  # what matters is logged by the application
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=int(settings.upload_seconds + settings.answer_seconds) + 1,
            )
        )

    def run_until_stopped(self, listener: socket.socket) -> Ending:
        """Serve; see `run_server`."""
        with handled(self._stop):
            self.run(sockets=[listener])
        return Ending(signal=self.signal, has_answered_all=self._has_answered_all)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `run_until_stopped`."""
        yield

    async def _wait_tasks_to_complete(self) -> None:
        """Wait for the answers; uvicorn cancels this, and then them, when the time for it is over."""
        self._has_answered_all = False
        await super()._wait_tasks_to_complete()
        self._has_answered_all = not self.force_exit

    def _stop(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.force_exit = self.should_exit
        self.should_exit = True
        self.signal = number
