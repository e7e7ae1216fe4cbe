"""A served model under load: everybody is answered or refused with a reason, in bounded memory."""

import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from builders.predictors import SCENES, save_small_weights
from builders.serving import Answer, ask_server, form, get, png, post

pytestmark = pytest.mark.slow

TOKEN = "a-token-of-this-test"
AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}
IMAGES = [png(SCENES[index].open_image()) for index in range(4)]
TEXTS = ["a red circle", "a blue square above a green triangle", "nothing", "two"]
NUM_REQUESTS = 200
NUM_DIFFERENT = 84
"""Requests after which the mix repeats itself."""

MOST_GROWTH_BYTES = 700 * 2**20
"""Two images that are decoded at a time take 512 MiB at most, by default."""


class Served:
    """A process of ``sycoca serve``."""

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self.process = process
        self.port = port

    def peak_bytes(self) -> int:
        """Return the largest amount of memory that the process has used."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])

    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def metric(self, name: str) -> float:
        lines = get(self.port, "/metrics", **AUTHORIZATION).body.decode().splitlines()
        return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


@contextmanager
def served(folder: Path, *options: str) -> Iterator[Served]:
    """Serve small weights by a process of its own, and end it."""
    weights = save_small_weights(folder / "weights")
    words = [sys.executable, "-m", "sycoca", "serve", str(weights), "--port", "0", "--device", "cpu", *options]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "SYCOCA_TOKEN": TOKEN}
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), process.stderr.read()
        yield Served(process, int(address.rpartition(":")[2]))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def mixed(port: int, index: int) -> Answer:
    """Send request number ``index`` of the mix."""
    image, text = ("image", IMAGES[index % len(IMAGES)]), TEXTS[index % len(TEXTS)]
    match index % 7:
        case 0:
            return post(port, "/caption", image, **AUTHORIZATION)
        case 1:
            return post(port, "/caption", image, ("num_beams", "3"), **AUTHORIZATION)
        case 2:
            return post(port, "/embed", image, ("text", text), **AUTHORIZATION)
        case 3:
            return post(port, "/embed", ("text", text), **AUTHORIZATION)
        case 4:
            return post(port, "/ask", image, ("question", text), **AUTHORIZATION)
        case 5:
            return post(port, "/explain", image, ("caption", text), **AUTHORIZATION)
        case _:
            names = [("class_names", name) for name in TEXTS[: 2 + index % 3]]
            return post(port, "/classify", image, *names, **AUTHORIZATION)


def differences(one: Any, other: Any) -> Iterator[float]:
    """Yield the differences of numbers, relative to those above 1. Texts and pictures must be equal."""
    match one, other:
        case dict(), dict():
            assert one.keys() == other.keys()
            for key in one:
                yield from differences(one[key], other[key])
        case list(), list():
            assert len(one) == len(other)
            for left, right in zip(one, other, strict=True):
                yield from differences(left, right)
        case float(), float():
            yield abs(one - other) / max(1.0, abs(one))
        case _:
            assert one == other


def test_concurrent_requests_are_answered_as_one_at_a_time(tmp_path: Path):
    with served(tmp_path, "--max-requests", "64") as server:
        different = [mixed(server.port, index) for index in range(NUM_DIFFERENT)]
        alone = [different[index % NUM_DIFFERENT] for index in range(NUM_REQUESTS)]
        assert {answer.status for answer in alone} == {200}
        before = server.peak_bytes()
        started_at = time.monotonic()
        with ThreadPoolExecutor(NUM_REQUESTS) as pool:
            together = list(pool.map(lambda index: mixed(server.port, index), range(NUM_REQUESTS)))
        seconds = time.monotonic() - started_at
        statuses = Counter(answer.status for answer in together)
        print(f"{NUM_REQUESTS} at a time in {seconds:.1f} s, statuses {dict(statuses)}")
        assert set(statuses) <= {200, 429}
        assert statuses[200] >= 64
        for answer in together:
            if answer.status == 429:
                assert answer.json["setting"] == "max_requests"
                assert answer.headers["retry-after"] == "1"
        largest = 0.0
        for one, other in zip(alone, together, strict=True):
            if other.status == 200:
                largest = max(largest, *differences(one.json, other.json))
        growth = server.peak_bytes() - before
        print(f"largest difference to one at a time {largest:.1e}, memory grew by {growth / 2**20:.0f} MiB")
        assert largest < 1e-5
        assert growth < MOST_GROWTH_BYTES
        assert server.metric("sycoca_open_requests") == 0


def bomb() -> bytes:
    """Return a small PNG file of 9,000 x 9,000 pixels with transparency: 648 MB once it is decoded."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 9_000, 9_000, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(36_001 * 100), 9))


def large_photo() -> bytes:
    """Return a PNG file that is as large as an image may be: 33 megapixels."""
    return png(Image.new("RGB", (8_000, 4_000), (200, 30, 30)))


def hostile(port: int, kind: int, files: dict[str, bytes]) -> str:
    """Do something bad, and return what came of it."""
    match kind % 6:
        case 0:
            return str(post(port, "/caption", ("image", files["bomb"]), **AUTHORIZATION).status)
        case 1:
            return str(post(port, "/embed", ("text", files["text"].decode()), **AUTHORIZATION).status)
        case 2:
            return str(post(port, "/caption", ("image", files["large"]), **AUTHORIZATION).status)
        case 3:
            return str(post(port, "/caption", ("image", IMAGES[0])).status)  # without the token
        case 4:
            return slow_client(port)
        case _:
            return killed_client(port)


def raw_request(text_bytes: int = 10) -> bytes:
    body, headers = form([("text", "x" * text_bytes)])
    lines = [
        "POST /embed HTTP/1.1",
        "Host: localhost",
        f"Content-Length: {len(body)}",
        f"Content-Type: {headers['Content-Type']}",
        f"Authorization: Bearer {TOKEN}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def slow_client(port: int) -> str:
    """Send a body a letter at a time, and stop before its end."""
    head, _, body = raw_request().partition(b"\r\n\r\n")
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(head + b"\r\n\r\n")
        with suppress(OSError):
            for letter in body[:-5]:
                client.send(bytes([letter]))
                time.sleep(0.001)
        return "slow " + client.recv(100).decode().split()[1]


def killed_client(port: int) -> str:
    """Send a request, and reset the connection at any moment."""
    request = raw_request(1000)
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(request[: random.randrange(len(request) + 1)])
        time.sleep(random.random() / 50)
    return "killed"


def test_hostile_requests_are_refused_and_harm_nobody(tmp_path: Path):
    files = {"bomb": bomb(), "text": b"x" * 50_000_000, "large": large_photo()}
    with served(tmp_path, "--upload-seconds", "3", "--max-requests", "32") as server:
        expected = mixed(server.port, 0).json
        before, files_before = server.peak_bytes(), server.open_files()
        with others_at_work(server.port) as others, ThreadPoolExecutor(24) as pool:
            found = Counter(pool.map(lambda kind: hostile(server.port, kind, files), range(72)))
        growth = server.peak_bytes() - before
        print(f"came of hostile requests: {dict(found)}; memory grew by {growth / 2**20:.0f} MiB")
        print(f"meanwhile {len(others)} requests of others: {dict(Counter(one.status for one in others))}")
        assert set(found) <= {"413", "200", "401", "429", "slow 408", "slow 429", "killed"}
        assert found["413"] >= 12  # bombs and texts, where there was room for them
        assert found["401"] == 12
        assert found["slow 408"] >= 1
        assert growth < MOST_GROWTH_BYTES
        assert {one.status for one in others} <= {200, 429}
        good = [one for one in others if one.status == 200]
        assert good
        assert max(max(differences(expected, one.json)) for one in good) < 1e-5
        assert_all_is_closed(server, files_before)


@contextmanager
def others_at_work(port: int) -> Iterator[list[Answer]]:
    """Let somebody else send requests within the context; the answers are in the list."""
    answers: list[Answer] = []
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            answers.append(mixed(port, 0))

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield answers
    finally:
        done.set()
        worker.join()


def assert_all_is_closed(server: Served, num_files: int) -> None:
    """Wait until the server has no more open files than that, give or take those of its own."""
    deadline = time.monotonic() + 30
    while server.open_files() > num_files + 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert server.open_files() <= num_files + 2
    assert server.metric("sycoca_open_requests") == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_once_everybody_is_answered(tmp_path: Path, number: signal.Signals):
    with served(tmp_path) as server:
        answers: list[Answer] = []
        asking = [
            threading.Thread(target=lambda index=index: answers.append(mixed(server.port, 7 * index)))
            for index in range(20)
        ]
        for thread in asking:
            thread.start()
        deadline = time.monotonic() + 10
        while server.metric("sycoca_open_requests") < 3 and len(answers) < 15 and time.monotonic() < deadline:
            pass
        server.process.send_signal(number)
        for thread in asking:
            thread.join()
        _, errors = server.process.communicate(timeout=60)
        assert server.process.returncode == 128 + number
        assert "all requests were answered" in errors
        assert len(answers) == 20
        assert {answer.status for answer in answers} == {200}


def test_a_whole_body_is_never_needed_to_refuse(tmp_path: Path):
    """A client that only announces a large body learns at once that it is not wanted."""
    with served(tmp_path) as server:
        headers = {**AUTHORIZATION, "Content-Length": str(10**12), "Expect": "100-continue"}
        started_at = time.monotonic()
        answer = ask_server(server.port, "POST", "/caption", None, headers)
        assert time.monotonic() - started_at < 5
        assert answer.status == 413
        assert json.loads(answer.body)["setting"] == "max_upload_bytes"
