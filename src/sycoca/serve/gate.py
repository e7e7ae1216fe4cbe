"""What every request passes: who asks, how much, how long. Browsers are told to keep the answers to themselves."""

import asyncio
import hmac
import io
import logging
import time
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from tempfile import SpooledTemporaryFile
from typing import IO, Any, final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sycoca.serve.hosts import why_not_meant
from sycoca.serve.metrics import Metrics
from sycoca.serve.refusals import RefusedError, error_body, too_large
from sycoca.serve.settings import Access, ServeSettings

logger = logging.getLogger(__name__)

OPEN_PATHS = ("/", "/docs", "/openapi.json", "/health")
"""Paths that need no token, beside the files of the page: what they show is the same for every server."""

PAGE_PREFIX = "/page/"

OVER_LIMIT = "sycoca_over_limit"
"""Key of a scope's state; true on connections beyond `ServeSettings.max_connections`, which the protocol counts."""

_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: own files only; pictures may also be data in the page."""

_HEADERS = {
    "content-security-policy": _PAGE_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

_IN_MEMORY = 2**20
"""Bytes of a body that are kept in memory; a longer one goes to a temporary file."""

_PIECE = 2**16

_DRAINED_BYTES = 64 * 2**20
_DRAIN_SECONDS = 10.0
"""How much of a refused body is read and dropped, and for how long: many clients read no answer before they have sent
all of it."""


class GoneError(Exception):
    """The client has closed the connection, so nobody waits for the answer."""


@final
class Gate:
    """An ASGI application around another one, which it only lets see complete requests that are allowed."""

    def __init__(
        self, app: ASGIApp, *, settings: ServeSettings, access: Access, metrics: Metrics, paths: Collection[str]
    ) -> None:
        self.app = app
        self.paths = frozenset(paths)
        self.settings = settings
        self.access = access
        self.metrics = metrics
        self.num_open = 0
        metrics.gauge(
            "sycoca_open_requests", "POST requests that are received, wait or are computed.", self._read_num_open
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass on what is none."""
        match scope["type"]:
            case "http":
                await _Exchange(self, scope, receive, send).run()
            case "lifespan":
                await self.app(scope, receive, send)
            case _:  # web sockets, which nothing here speaks
                await send({"type": "websocket.close", "code": 1008})

    def _read_num_open(self) -> float:
        return float(self.num_open)


@final
class _Exchange:
    """A request and its answer."""

    def __init__(self, gate: Gate, scope: Scope, receive: Receive, send: Send) -> None:
        self._gate = gate
        self._scope = scope
        self._receive = receive
        self._send_on = send
        self._headers = Headers(scope=scope)
        self._is_received = False
        self._status: int | None = None

    async def run(self) -> None:
        """Answer the request, with a refusal where need be."""
        started_at = time.monotonic()
        try:
            await self._answer()
        except RefusedError as refused:
            await self._refuse(refused)
        except GoneError:
            logger.debug("%s: the client has gone", self._scope["path"])
            return
        except Exception:
            logger.exception("%s %s failed", self._scope["method"], self._scope["path"])
            await self._refuse(RefusedError(500, "an error of the server, which its log describes"))
        finally:
            outcome = "gone" if self._status is None else str(self._status)
            self._gate.metrics.answered(self._label(), outcome, time.monotonic() - started_at)

    async def _answer(self) -> None:
        if self._scope.get("state", {}).get(OVER_LIMIT):
            most = self._gate.settings.max_connections
            reason = f"more than {most:,} connections are open; try again soon"
            raise RefusedError(503, reason, "max_connections", {"retry-after": "1", "connection": "close"})
        reason = why_not_meant(self._headers, self._gate.access)
        if reason is not None:
            raise RefusedError(403, reason, "allowed_hosts")
        self._check_token()
        if self._scope["method"] != "POST":
            await self._receive_body(None)
            await self._compute(io.BytesIO())
            return
        self._check_room()
        self._gate.num_open += 1
        try:
            with SpooledTemporaryFile(_IN_MEMORY) as body:
                await self._receive_body(body)
                body.seek(0)
                await self._compute(body)
        finally:
            self._gate.num_open -= 1

    def _check_token(self) -> None:
        token, path = self._gate.access.token, self._scope["path"]
        if token is None or path in OPEN_PATHS or path.startswith(PAGE_PREFIX):
            return
        kind, _, given = self._headers.get("authorization", "").partition(" ")
        # In constant time: how long a comparison takes must not tell how much of a guess is right.
        is_right = hmac.compare_digest(given.strip().encode("utf-8", "replace"), token.encode())
        if kind.lower() != "bearer" or not is_right:
            raise RefusedError(
                401,
                "a token is needed: send the header Authorization: Bearer TOKEN",
                "SYCOCA_TOKEN",
                {"www-authenticate": "Bearer"},
            )

    def _check_room(self) -> None:
        most = self._gate.settings.max_requests
        if self._gate.num_open >= most:
            raise RefusedError(
                429,
                f"{most:,} requests are being answered already; try again soon",
                "max_requests",
                {"retry-after": "1"},
            )

    async def _receive_body(self, body: IO[bytes] | None) -> None:
        """Write the request's body to a file, or drop it. Raises RefusedError for one too large or too slow."""
        most, seconds = self._gate.settings.max_upload_bytes, self._gate.settings.upload_seconds
        declared = self._headers.get("content-length", "")
        size = int(declared) if declared.isdecimal() else 0
        if size > most:
            raise too_large(f"the request has {size:,} bytes", "max_upload_bytes", most, "bytes")
        size = 0
        try:
            async with asyncio.timeout(seconds):
                async for piece in self._pieces():
                    size += len(piece)
                    if size > most:
                        raise too_large(f"the request has more than {most:,} bytes", "max_upload_bytes", most, "bytes")
                    if body is not None:
                        body.write(piece)
        except TimeoutError as error:
            reason = f"the request was not received within {seconds:g} seconds (upload_seconds)"
            raise RefusedError(408, reason, "upload_seconds") from error

    async def _pieces(self) -> AsyncIterator[bytes]:
        """Yield what is left of the request's body."""
        while not self._is_received:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise GoneError
            self._is_received = not message.get("more_body", False)
            yield message.get("body", b"")

    async def _compute(self, body: IO[bytes]) -> None:
        """Let the application answer, unless that takes too long or the client goes."""

        async def receive() -> Message:
            piece = body.read(_PIECE)
            return {"type": "http.request", "body": piece, "more_body": len(piece) == _PIECE}

        seconds = self._gate.settings.answer_seconds
        # HEAD is answered as GET; the server in front of this application leaves the body out.
        scope = {**self._scope, "method": "GET"} if self._scope["method"] == "HEAD" else self._scope
        answer = asyncio.ensure_future(self._gate.app(scope, receive, self._send))
        gone = asyncio.ensure_future(self._receive())
        try:
            await asyncio.wait({answer, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if self._status is not None:  # the answer is on its way, to a client that may be slow
                await asyncio.wait({answer}, timeout=seconds)
            if answer.done():
                answer.result()
            elif gone.done():
                raise GoneError
            elif self._status is None:
                reason = f"there was no answer within {seconds:g} seconds (answer_seconds)"
                raise RefusedError(504, reason, "answer_seconds")
        finally:
            await _cancelled(answer)
            await _cancelled(gone)

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            for name, value in _HEADERS.items():
                headers[name] = value
            headers.setdefault("cache-control", "no-store")
            if not self._is_received:
                headers["connection"] = "close"
        await self._send_on(message)

    async def _refuse(self, refused: RefusedError) -> None:
        if self._status is not None:
            return
        # A client that waits for leave to send its body needs no draining, and a slow one has had its time.
        if "expect" not in self._headers and refused.status_code != 408:
            await self._drain()
        response = JSONResponse(
            error_body(refused.detail, refused.setting), refused.status_code, dict(refused.headers or {})
        )
        await response(self._scope, self._receive, self._send)

    async def _drain(self) -> None:
        size = 0
        with suppress(TimeoutError, GoneError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                async for piece in self._pieces():
                    size += len(piece)
                    if size > _DRAINED_BYTES:
                        return

    def _label(self) -> str:
        """Return the path for metrics, of which there are only so many."""
        path = self._scope["path"]
        if path.startswith(PAGE_PREFIX):
            return "/page"
        return path if path in self._gate.paths else "other"


async def _cancelled(task: "asyncio.Future[Any]") -> None:
    """Cancel what is not done yet, and wait until it has ended."""
    if not task.done():
        task.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await task
