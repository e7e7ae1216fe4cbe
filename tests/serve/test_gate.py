"""Limits over real connections: every refusal has its status, its reason and its setting."""

import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from typing import Any

import pytest
import torch

from builders.predictors import SCENES, small_predictor
from builders.serving import Answer, ask_server, form, get, png, post, serving
from sycoca.inference.predictor import Predictor
from sycoca.serve.application import create_app
from sycoca.serve.settings import Access, ServeSettings

IMAGE = png(SCENES[0].open_image())
TOKEN = "0123456789abcdef"
SETTINGS = ServeSettings(
    max_upload_bytes=100_000,
    max_text_characters=50,
    max_class_names=3,
    max_beams=2,
    max_requests=2,
    upload_seconds=1.0,
)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return small_predictor()


@pytest.fixture(scope="module")
def port(predictor: Predictor) -> Iterator[int]:
    with serving(create_app(predictor, settings=SETTINGS)) as port:
        yield port


def assert_refused(answer: Answer, status: int, setting: str | None, *words: str) -> None:
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert answer.json.keys() == {"error", "setting"}
    assert answer.json["setting"] == setting
    for word in words:
        assert word in answer.json["error"]


def test_a_body_that_is_too_large(port: int):
    body, headers = form([("image", bytes(200_000))])
    assert_refused(ask_server(port, "POST", "/caption", body, headers), 413, "max_upload_bytes", "100,000 bytes")
    # The same without saying how large it is.
    pieces = iter([body[:50_000], body[50_000:120_000], body[120_000:]])
    assert_refused(ask_server(port, "POST", "/caption", pieces, headers), 413, "max_upload_bytes", "100,000")


def test_texts_that_are_too_long_or_too_many(port: int):
    assert_refused(post(port, "/embed", ("text", "x" * 51)), 413, "max_text_characters", "51 characters", "50")
    assert_refused(post(port, "/embed", ("text", "x" * 5000)), 413, "max_text_characters", "50 characters")
    names = [("class_names", name) for name in "abcd"]
    assert_refused(post(port, "/classify", ("image", IMAGE), *names), 413, "max_class_names", "4 class names")
    many = [("class_names", "a")] * 100
    assert_refused(post(port, "/classify", ("image", IMAGE), *many), 413, "max_class_names")
    assert_refused(post(port, "/caption", ("image", IMAGE), ("num_beams", "3")), 413, "max_beams", "2 beams")
    guided = [("num_beams", "2"), ("guidance_scale", "2")]
    assert_refused(post(port, "/caption", ("image", IMAGE), *guided), 413, "max_beams", "twice for guidance", "2 beams")
    assert_refused(post(port, "/caption", ("image", IMAGE), ("image", IMAGE)), 413, "max_class_names", "one file")


def test_a_small_file_of_a_huge_image(port: int):
    # 16,000 x 16,000 pixels of two colors: few bytes in the file, gigabytes once they are decoded.
    head = struct.pack(">IIBBBBB", 16_000, 16_000, 1, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(2001 * 16_000)))
    assert len(bomb) < SETTINGS.max_upload_bytes
    assert_refused(post(port, "/caption", ("image", bomb)), 413, "SYCOCA_MAX_DECODED_BYTES", "256,000,000 pixels")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("data", [b"", b"no image at all", IMAGE[:300], b"<html></html>"])
def test_what_is_no_image(port: int, data: bytes):
    assert_refused(post(port, "/caption", ("image", data)), 422, None, "the image cannot be read as an image")


@pytest.mark.parametrize("value", ["/etc/passwd", "http://127.0.0.1/a.png", "data:image/png;base64,AAAA"])
def test_an_image_is_never_a_path_or_an_address(port: int, value: str):
    assert_refused(post(port, "/caption", ("image", value)), 422, None, "image")


def test_fields_that_are_missing_or_wrong(port: int):
    assert_refused(post(port, "/caption"), 422, None, "image: field required")
    assert_refused(post(port, "/caption", ("image", IMAGE), ("num_beams", "two")), 422, None, "num_beams")
    assert_refused(post(port, "/caption", ("image", IMAGE), ("num_beams", "0")), 422, None, "num_beams")
    assert_refused(post(port, "/ask", ("image", IMAGE), ("question", "  ")), 422, None, "question is empty")
    assert_refused(ask_server(port, "POST", "/caption", b"junk", form([])[1]), 400, None, "the form cannot be read")
    assert_refused(get(port, "/caption"), 405, None)
    assert_refused(get(port, "/elsewhere"), 404, None)
    assert_refused(get(port, "/page/no.css"), 404, None, "no.css")
    assert get(port, "/page/..%2f__init__.py").status == 404


def test_names_and_pages_of_others(port: int):
    assert_refused(get(port, "/health", Host="evil.example"), 403, "allowed_hosts", "evil.example")
    answer = post(port, "/embed", ("text", "a"), Origin="http://evil.example")
    assert_refused(answer, 403, "allowed_hosts", "http://evil.example")


def test_every_answer_keeps_browsers_from_leaking_it(port: int):
    for answer in (get(port, "/"), get(port, "/health"), get(port, "/elsewhere"), post(port, "/caption")):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "server" not in answer.headers
    assert get(port, "/health").headers["cache-control"] == "no-store"


@contextmanager
def held_up(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch, has_begun: threading.Event | None = None
) -> Iterator[threading.Event]:
    """Let texts be embedded only once an event is set; ``has_begun`` is set when the first ones wait for it."""
    may_go, embed = threading.Event(), predictor.embed_texts

    def late(texts: Any, **options: Any) -> Any:
        if has_begun is not None:
            has_begun.set()
        assert may_go.wait(30)
        return embed(texts, **options)

    with monkeypatch.context() as patched:
        patched.setattr(predictor, "embed_texts", late)
        try:
            yield may_go
        finally:
            may_go.set()


def test_more_requests_than_there_is_room_for(predictor: Predictor, monkeypatch: pytest.MonkeyPatch):
    settings = ServeSettings(max_requests=2)
    with serving(create_app(predictor, settings=settings)) as port, held_up(predictor, monkeypatch) as may_go:
        answers: list[Answer] = []
        waiting = [threading.Thread(target=lambda: answers.append(post(port, "/embed", ("text", "a")))) for _ in "ab"]
        for thread in waiting:
            thread.start()
        while b"sycoca_open_requests 2.0" not in get(port, "/metrics").body:
            time.sleep(0.01)
        refused = post(port, "/embed", ("text", "a"))
        assert_refused(refused, 429, "max_requests", "try again")
        assert refused.headers["retry-after"] == "1"
        may_go.set()
        for thread in waiting:
            thread.join()
        assert [answer.status for answer in answers] == [200, 200]
        assert post(port, "/embed", ("text", "a")).status == 200


def test_a_server_that_stops_answers_what_it_has_received(predictor: Predictor, monkeypatch: pytest.MonkeyPatch):
    answers: list[Answer] = []
    asking = threading.Thread(target=lambda: answers.append(post(port, "/embed", ("text", "a"))))
    with held_up(predictor, monkeypatch) as may_go:
        with serving(create_app(predictor)) as port:
            asking.start()
            while b"sycoca_open_requests 1.0" not in get(port, "/metrics").body:
                time.sleep(0.01)
            threading.Timer(0.3, may_go.set).start()  # once the server is being stopped, at the end of this context
        asking.join()
    assert [answer.status for answer in answers] == [200]


def test_an_answer_that_takes_too_long(predictor: Predictor, monkeypatch: pytest.MonkeyPatch):
    settings = ServeSettings(answer_seconds=1.0)
    with serving(create_app(predictor, settings=settings)) as port, held_up(predictor, monkeypatch):
        assert_refused(post(port, "/embed", ("text", "a")), 504, "answer_seconds", "1 seconds")


def test_a_client_that_sends_too_slowly(port: int):
    body, headers = form([("image", IMAGE)])
    head = f"POST /caption HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    head += f"Content-Type: {headers['Content-Type']}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(head.encode() + body[:-10])
        with client.makefile("rb") as file:
            answer = file.read()  # until the server closes the connection
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"upload_seconds"' in answer
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    ("beginning", "answer"), [(b"", b""), (b"POST /caption HTTP/1.1\r\nHost: local", b"HTTP/1.1 408 ")]
)
def test_a_client_that_sends_no_whole_head(port: int, beginning: bytes, answer: bytes):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(beginning)
        with client.makefile("rb") as file:
            found = file.read()  # until the server closes the connection
    assert found.startswith(answer)
    assert (b'"upload_seconds"' in found) == (answer != b"")


def test_a_client_that_has_gone_costs_no_more(predictor: Predictor, monkeypatch: pytest.MonkeyPatch):
    body, headers = form([("text", "a")])
    head = f"POST /embed HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    head += f"Content-Type: {headers['Content-Type']}\r\n\r\n"
    has_begun = threading.Event()
    with serving(create_app(predictor)) as port, held_up(predictor, monkeypatch, has_begun):
        first = threading.Thread(target=post, args=(port, "/embed", ("text", "a")))
        first.start()
        assert has_begun.wait(30)  # or both would be computed together
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(head.encode() + body)
            while b"sycoca_queued_inputs 1.0" not in get(port, "/metrics").body:
                time.sleep(0.01)
        while b"sycoca_open_requests 1.0" not in get(port, "/metrics").body:
            time.sleep(0.01)
        assert b'path="/embed",status="gone"} 1' in get(port, "/metrics").body
    first.join()


def test_a_refused_request_leaves_its_connection_usable(port: int):
    body, headers = form([("text", "x" * 51)])
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as client:
        client.connect()
        used = client.sock
        for _ in range(2):
            client.request("POST", "/embed", body, {**headers, "Host": "localhost"})
            answer = client.getresponse()
            assert (answer.status, b"max_text_characters" in answer.read()) == (413, True)
            assert client.sock is used  # or it would have been opened again


@pytest.fixture(scope="module")
def guarded(predictor: Predictor) -> Iterator[int]:
    with serving(create_app(predictor, access=Access(token=TOKEN))) as port:
        yield port


@pytest.mark.parametrize("path", ["/info", "/examples", "/metrics"])
@pytest.mark.parametrize("given", [None, "Bearer", f"Basic {TOKEN}", "Bearer 0123456789abcdeF", f"Bearer {TOKEN}x"])
def test_without_the_token_nothing_is_told(guarded: int, path: str, given: str | None):
    headers = {} if given is None else {"Authorization": given}
    answer = get(guarded, path, **headers)
    assert_refused(answer, 401, "SYCOCA_TOKEN", "Authorization: Bearer")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_without_the_token_no_model_is_asked(guarded: int):
    for path in ("/caption", "/embed", "/ask", "/classify", "/explain", "/search"):
        assert_refused(post(guarded, path, ("image", IMAGE)), 401, "SYCOCA_TOKEN")


def test_with_the_token_everything_is(guarded: int):
    authorization = {"Authorization": f"Bearer {TOKEN}"}
    assert get(guarded, "/info", **authorization).json["token_required"] is True
    assert post(guarded, "/embed", ("text", "a"), **authorization).status == 200


def test_the_page_and_the_documentation_need_no_token(guarded: int):
    for path in ("/", "/page/main.js", "/docs", "/openapi.json", "/health"):
        assert get(guarded, path).status == 200


def test_numbers_that_are_none_are_an_error_of_the_server(predictor: Predictor, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patched, serving(create_app(predictor)) as port:
        patched.setattr(predictor, "embed_texts", lambda texts, **_: torch.full((len(texts), 4), float("nan")))
        assert_refused(post(port, "/embed", ("text", "a")), 500, None, "an error of the server")


def test_errors_of_the_server_tell_no_client_why(predictor: Predictor, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a secret")

    with monkeypatch.context() as patched:
        patched.setattr(predictor, "embed_texts", broken)
        with serving(create_app(predictor)) as port:
            answer = post(port, "/embed", ("text", "a"))
    assert_refused(answer, 500, None, "an error of the server")
    assert "secret" not in answer.body.decode()
