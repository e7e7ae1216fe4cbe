"""Connections below the application: clients that never read, and the addresses of sockets."""

import socket
import time
from contextlib import suppress

import pytest
from fastapi import FastAPI
from starlette.responses import Response

from builders.serving import serving
from sycoca.serve.server import address_of, listening_socket
from sycoca.serve.settings import ServeSettings

LARGE = bytes(30_000_000)
"""More than the buffers of two sockets hold."""


def received(port: int, seconds: float) -> int:
    """Ask for a large answer, read nothing for some time, and return the bytes that come."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        time.sleep(seconds)
        total = 0
        with suppress(ConnectionResetError):
            while piece := client.recv(2**20):
                total += len(piece)
        return total


def test_a_client_that_never_reads_its_answer_is_let_go():
    app = FastAPI()
    app.add_api_route("/", lambda: Response(LARGE))
    with serving(app, ServeSettings(answer_seconds=0.5)) as port:
        assert received(port, 0.0) > len(LARGE)
        assert received(port, 1.5) < len(LARGE)


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("localhost", "127.0.0.1")]
)
def test_the_address_is_one_that_a_browser_here_can_open(host: str, shown: str):
    with listening_socket(host, 0) as listener:
        port = listener.getsockname()[1]
        assert address_of(listener) in (f"http://{shown}:{port}", f"http://[::1]:{port}")


def test_an_address_of_ipv6_has_brackets():
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    for host in ("::", "::1"):
        try:
            listener = listening_socket(host, 0)
        except OSError:
            pytest.skip("this machine has no IPv6")
        with listener:
            assert address_of(listener) == f"http://[::1]:{listener.getsockname()[1]}"


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", 0), ("203.0.113.7", 0), ("127.0.0.1", 99_999)])
def test_an_address_that_cannot_be_listened_at_is_named(host: str, port: int):
    with pytest.raises(OSError, match=f"cannot listen at {host}, port {port}: .*; choose another --host or --port"):
        listening_socket(host, port)
