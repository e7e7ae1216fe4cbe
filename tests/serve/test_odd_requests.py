"""Requests that no browser sends: odd methods, heads, bodies and forms, and more connections than there is room for."""

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from builders.predictors import SCENES, small_predictor
from builders.serving import Answer, ask_server, form, get, png, post, serving
from sycoca.serve.application import create_app
from sycoca.serve.interface.uploads import PictureReader
from sycoca.serve.settings import ServeSettings

IMAGE = png(SCENES[0].open_image())
SETTINGS = ServeSettings(upload_seconds=1.0, max_upload_bytes=100_000, max_connections=30, decoding_threads=2)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(create_app(small_predictor(), settings=SETTINGS)) as port:
        yield port


def answer_to(port: int, request: bytes) -> bytes:
    """Send bytes, and return what comes until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(request)
        with client.makefile("rb") as file:
            return file.read()


def assert_refused(answer: Answer, status: int, *words: str) -> None:
    assert (answer.status, set(answer.json)) == (status, {"error", "setting"})
    for word in words:
        assert word in answer.json["error"]


def test_head_is_answered_as_get_without_the_body(port: int):
    answer, whole = ask_server(port, "HEAD", "/health"), get(port, "/health")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-length"] == str(len(whole.body))
    assert ask_server(port, "HEAD", "/caption").status == 405


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
def test_a_body_that_no_method_reads_has_its_limits(port: int, method: str):
    head = f"{method} /health HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    assert answer_to(port, head + b"5\r\nhello\r\n").startswith(b"HTTP/1.1 408 ")
    answer = ask_server(port, method, "/health", bytes(200_000))
    assert answer.status == 413
    small = ask_server(port, method, "/health", b"hello")
    assert small.status == (200 if method in ("GET", "HEAD") else 405)


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /health\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: other\r\n\r\n",
        b"GET /health HTTP/1.1\r\n\r\n",
        b"POST /embed HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 the beginning of TLS\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_as_everything_is(port: int, request_: bytes):
    head, _, body = answer_to(port, request_).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n")
    assert body == b'{"error": "the request is malformed HTTP, or its head is too long", "setting": null}'


def test_a_malformed_piece_of_a_body_ends_the_request(port: int):
    head = b"POST /embed HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert answer_to(port, head + b"no size\r\n").startswith(b"HTTP/1.1 400 ")


def test_connections_beyond_the_limit_are_refused_and_counted(port: int):
    with ExitStack() as opened:
        for _ in range(SETTINGS.max_connections):
            opened.enter_context(socket.create_connection(("127.0.0.1", port)))
        refused = get(port, "/health")
        assert_refused(refused, 503, "more than 30 connections are open")
        assert refused.json["setting"] == "max_connections"
        assert (refused.headers["retry-after"], refused.headers["connection"]) == ("1", "close")
    deadline = time.monotonic() + 30
    while get(port, "/health").status != 200 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert b'sycoca_requests_total{path="/health",status="503"}' in get(port, "/metrics").body


@pytest.mark.parametrize("name", ["a" * 300 + ".css", "a%00.css", "..%2f__init__.py", ".", "%ff.css"])
def test_a_name_of_a_file_that_is_none(port: int, name: str):
    assert_refused(get(port, f"/page/{name}"), 404)


@pytest.mark.parametrize("path", ["/info/", "/docs/", "//info", "/page/page.css/"])
def test_nobody_is_sent_to_another_address(port: int, path: str):
    assert_refused(get(port, path), 404)


def test_a_body_that_is_no_form(port: int):
    body, headers = form([("text", "a")])
    json_ = {"Content-Type": "application/json"}
    assert_refused(ask_server(port, "POST", "/embed", b'{"text": "a"}', json_), 415, "application/json", "multipart")
    packed = {**headers, "Content-Encoding": "gzip"}
    assert_refused(ask_server(port, "POST", "/embed", gzip.compress(body), packed), 415, "'gzip'")


@pytest.mark.parametrize("codec", ["unicode_escape", "utf-7", "punycode", "utf-16", "zip", "nonsense"])
def test_texts_are_in_utf_8(port: int, codec: str):
    body, headers = form([("text", "\\ud800")])
    kind = headers["Content-Type"]
    answer = ask_server(port, "POST", "/embed", body, {"Content-Type": f"{kind}; charset={codec}"})
    assert_refused(answer, 415, codec, "UTF-8")
    assert ask_server(port, "POST", "/embed", body, {"Content-Type": f"{kind}; charset=UTF-8"}).status == 200


def test_a_field_that_nothing_reads(port: int):
    answer = post(port, "/caption", ("image", IMAGE), ("beams", "4"))
    assert_refused(answer, 422, "no field 'beams'; the fields are image, num_beams")


def test_images_are_decoded_so_many_at_a_time_even_where_clients_go(port: int, monkeypatch: pytest.MonkeyPatch):
    at_work, most, may_go = [0], [0], threading.Event()
    lock, read = threading.Lock(), PictureReader.__call__

    def slow(self: PictureReader, upload: object) -> object:
        with lock:
            at_work[0] += 1
            most[0] = max(most[0], at_work[0])
        assert may_go.wait(30)
        with lock:
            at_work[0] -= 1
        return read(self, upload)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(PictureReader, "__call__", slow)
    body, headers = form([("image", IMAGE)])
    head = f"POST /caption HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    request = f"{head}Content-Type: {headers['Content-Type']}\r\n\r\n".encode() + body
    for number in range(5):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(request)
            while b"sycoca_open_requests 1.0" not in get(port, "/metrics").body:
                time.sleep(0.005)
            deadline = time.monotonic() + (10 if number < 2 else 0.1)
            while at_work[0] <= min(number, 2) and time.monotonic() < deadline:
                time.sleep(0.005)
        while b"sycoca_open_requests 0.0" not in get(port, "/metrics").body:
            time.sleep(0.005)
    may_go.set()
    assert post(port, "/caption", ("image", IMAGE)).status == 200
    assert most[0] == 2
