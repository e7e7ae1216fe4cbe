"""Connections that must not stay silent: uvicorn waits without limit for the head of a request, and for readers."""

import asyncio
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from sycoca.serve.gate import OVER_LIMIT
from sycoca.serve.refusals import error_body
from sycoca.serve.settings import ServeSettings

_FLUSH_SECONDS = 5.0
"""How long a connection that is closed may take to send what is written."""


def _bare_answer(status: HTTPStatus, reason: str, setting: str | None) -> bytes:
    """Return the answer to a request that no application sees, since its head cannot be read."""
    body = json.dumps(error_body(reason, setting)).encode()
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\nconnection: close\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body


_HEAD_TOO_LATE = _bare_answer(
    HTTPStatus.REQUEST_TIMEOUT, "the head of the request was not received in time (upload_seconds)", "upload_seconds"
)
_NO_HTTP = _bare_answer(HTTPStatus.BAD_REQUEST, "the request is malformed HTTP, or its head is too long", None)


def patient_protocol(settings: ServeSettings) -> type[H11Protocol]:
    """Return the protocol of connections with the time limits of the settings."""
    return type("PatientProtocol", (_PatientProtocol,), {"settings": settings})


class _PatientProtocol(H11Protocol):
    """Closes connections whose client sends no whole head of a request, or does not read its answer."""

    settings: ServeSettings
    _has_begun: bool = False
    _head_timer: asyncio.TimerHandle | None = None
    _reading_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Wait for the first request."""
        super().connection_made(transport)
        if len(self.connections) > self.settings.max_connections:
            self.app_state = {**self.app_state, OVER_LIMIT: True}
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a head, or leave the request to the application."""
        if self.conn.their_state is h11.IDLE:
            self._has_begun = True
            self._await_head()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._has_begun = False
            self._head_timer = _cancelled(self._head_timer)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP request as every error is answered, unless another answer is on its way."""
        del msg
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write(_NO_HTTP)
        self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._head_timer = _cancelled(self._head_timer)
        self._reading_timer = _cancelled(self._reading_timer)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for a client that does not read as fast as answers are written."""
        super().pause_writing()
        self._reading_timer = self._later(self.settings.answer_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Write on."""
        self._reading_timer = _cancelled(self._reading_timer)
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that is no longer used, even if its client never reads the last answer."""
        super().timeout_keep_alive_handler()
        self._reading_timer = self._later(_FLUSH_SECONDS, self.transport.abort)

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self._later(self.settings.upload_seconds, self._give_up)

    def _give_up(self) -> None:
        if self._has_begun:
            self.transport.write(_HEAD_TOO_LATE)
        self._close()

    def _close(self) -> None:
        self.transport.close()
        self._reading_timer = self._later(_FLUSH_SECONDS, self.transport.abort)

    def _later(self, seconds: float, act: Callable[[], Any]) -> asyncio.TimerHandle:
        return self.loop.call_later(seconds, act)


def _cancelled(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
