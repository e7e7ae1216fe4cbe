"""A server in a thread, and a client of the standard library for it."""

import http.client
import io
import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from PIL import Image

from sycoca.serve.server import Server, listening_socket
from sycoca.serve.settings import ServeSettings

BOUNDARY = "a-line-between-parts"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@contextmanager
def serving(app: FastAPI, settings: ServeSettings | None = None) -> Iterator[int]:
    """Serve an application at a free port of this machine, which is yielded."""
    listener = listening_socket("127.0.0.1", 0)
    server = Server(app, settings or app.state.settings)
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]))
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def png(image: Image.Image) -> bytes:
    """Return an image as a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def form(fields: Sequence[tuple[str, str | bytes]]) -> tuple[bytes, dict[str, str]]:
    """Return a multipart body and its headers; values that are bytes are files."""
    body = io.BytesIO()
    for name, value in fields:
        is_file = isinstance(value, bytes)
        kind = '; filename="a.png"\r\nContent-Type: image/png' if is_file else ""
        body.write(f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{kind}\r\n\r\n'.encode())
        body.write(value if isinstance(value, bytes) else value.encode())
        body.write(b"\r\n")
    body.write(f"--{BOUNDARY}--\r\n".encode())
    return body.getvalue(), {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def ask_server(
    port: int,
    method: str,
    path: str,
    body: bytes | Iterable[bytes] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send one request over a connection of its own."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


def get(port: int, path: str, **headers: str) -> Answer:
    """Return the answer to a GET."""
    return ask_server(port, "GET", path, None, headers)


def post(port: int, path: str, *fields: tuple[str, str | bytes], **headers: str) -> Answer:
    """Return the answer to a POST of a form."""
    body, own = form(fields)
    return ask_server(port, "POST", path, body, own | headers)
