"""Heartbeats of two or three processes, here as threads of one: who is lost, who says so, and how each ends."""

import contextlib
import json
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from sycoca.training.engine.distributed.ending import FAILED_CODE, LOST_CODE, Ending, RunInFolder
from sycoca.training.engine.distributed.heartbeat import Heartbeat
from sycoca.training.engine.distributed.launch import Launch
from sycoca.training.engine.distributed.peers import MessageSocket

SECONDS = 0.5


class Process:
    """A process of a run, whose end is only noted."""

    def __init__(self, rank: int, store: "Store", hosts: list[str], local_rank: int) -> None:
        self.codes: list[int] = []
        self.released = False
        self.done: list[str] = []
        self.resume: Callable[[], None] = lambda: None
        self.store = store
        self.ending = Ending(self.codes.append)
        self.ending.run = RunInFolder(resume_command="sycoca pretrain --resume run", release=self.release)
        self.ending.clears_terminal = lambda: self.done.append("cleared")
        self.ending.closes_files = lambda: self.done.append("closed")
        launch = Launch(rank=rank, world_size=len(hosts), local_rank=local_rank, address="127.0.0.1", port=1)
        self.heartbeat = Heartbeat(launch, store, hosts, SECONDS, self.ending)

    def release(self) -> None:
        self.released = True

    def kill(self) -> None:
        """Close the connections as the system does for a killed process."""
        self.heartbeat._is_over = True
        for link in list(self.heartbeat._links):
            with contextlib.suppress(OSError):  # its thread was faster
                link._connection.shutdown(socket.SHUT_RDWR)

    def hang(self) -> None:
        """Beat no more, but keep the connections."""
        stopped = threading.Event()
        self.heartbeat._beat = lambda: wait_until(stopped)
        self.resume = stopped.set  # also at the end of a test that fails


class Store:
    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def set(self, key: str, value: str, /) -> None:
        self.values[key] = value.encode()

    def get(self, key: str, /) -> bytes:
        return self.values[key]


@pytest.fixture
def launched() -> Iterator[Callable[..., list[Process]]]:
    processes: list[Process] = []

    def launch(*hosts: str) -> list[Process]:
        store = Store()
        for rank, host in enumerate(hosts):
            processes.append(Process(rank, store, list(hosts), hosts[:rank].count(host)))
        wait_for(lambda: all(peer.pid is not None for peer in processes[0].heartbeat._peers.values()))
        return processes

    yield launch
    for process in processes:
        process.heartbeat._is_over = True
        process.resume()
        process.heartbeat._wake.close()
        process.heartbeat._thread.join()


def wait_until(event: threading.Event) -> None:
    event.wait()


def wait_for(condition: Callable[[], object], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def test_all_leave_in_peace(launched: Callable[..., list[Process]], caplog: pytest.LogCaptureFixture):
    processes = launched("a", "a", "b")
    time.sleep(2 * SECONDS)
    for process in reversed(processes):
        process.heartbeat.leave("clean")
        time.sleep(SECONDS * 1.5)  # the others hear nothing more of it
    assert said(caplog) == []
    assert [process.codes for process in processes] == [[], [], []]


def test_rank_0_may_leave_first(launched: Callable[..., list[Process]], caplog: pytest.LogCaptureFixture):
    first, second = launched("a", "a")
    first.heartbeat.leave("clean")
    time.sleep(SECONDS * 1.5)
    second.heartbeat.leave("clean")
    assert (said(caplog), second.codes) == ([], [])


def test_who_leaves_at_once_still_says_goodbye_to_who_is_connecting(
    launched: Callable[..., list[Process]], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    greet = Heartbeat._greet

    def greet_late(heartbeat: Heartbeat, link: MessageSocket) -> None:
        heartbeat._leaving = "clean", None, time.monotonic()  # the main thread is done in the meantime
        heartbeat._take_leave()
        greet(heartbeat, link)

    monkeypatch.setattr(Heartbeat, "_greet", greet_late)
    first, second = launched("a", "a")
    wait_for(lambda: not first.heartbeat._thread.is_alive())
    time.sleep(SECONDS * 1.5)
    second.heartbeat.leave("clean")
    assert (said(caplog), second.codes) == ([], [])


def test_who_leaves_waits_only_so_long_for_who_never_connects(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sycoca.training.engine.distributed.heartbeat._CONNECT_SECONDS", 0.2)
    first = Process(0, Store(), ["a", "a"], 0)
    first.heartbeat.leave("failed", "an error")
    assert not first.heartbeat._thread.is_alive()


def test_a_thread_that_is_done_before_it_is_woken_is_no_error(launched: Callable[..., list[Process]]):
    heartbeat = launched("a", "a")[0].heartbeat
    wake = heartbeat._wake

    class LateWake:
        def send(self, data: bytes) -> None:
            heartbeat._thread.join()
            wake.send(data)

        close = wake.close

    heartbeat._wake = LateWake()  # pyright: ignore[reportAttributeAccessIssue]
    heartbeat.leave("clean")


def test_a_killed_rank_ends_the_others_and_rank_0_says_so(
    launched: Callable[..., list[Process]], caplog: pytest.LogCaptureFixture
):
    first, second, third = launched("a", "a", "b")
    second.kill()
    wait_for(lambda: first.codes and third.codes)
    assert (first.codes, third.codes, first.released) == ([LOST_CODE], [LOST_CODE], True)
    assert first.done == ["cleared", "closed"]
    (line,) = said(caplog)
    assert line.startswith("rank 1 (process ")
    assert " on a) ended unexpectedly at " in line
    assert line.endswith("; all processes end; resume with: sycoca pretrain --resume run")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_connections_are_not_kept_open_by_forked_processes(
    launched: Callable[..., list[Process]], caplog: pytest.LogCaptureFixture
):
    first, second = launched("a", "a")
    worker = os.fork()
    if worker == 0:
        time.sleep(60)
        os._exit(0)
    try:
        second.heartbeat._is_over = True
        for link in list(second.heartbeat._links):
            link.close()  # which the system does for each process by itself
        wait_for(lambda: first.codes)
        assert "ended unexpectedly" in said(caplog)[0]
    finally:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)


def test_a_silent_rank_ends_the_others_and_then_itself(
    launched: Callable[..., list[Process]], caplog: pytest.LogCaptureFixture
):
    first, second = launched("a", "b")
    second.hang()
    wait_for(lambda: first.codes)
    assert first.codes == [LOST_CODE]
    assert " on b) has been silent since " in said(caplog)[0]
    second.resume()
    wait_for(lambda: second.codes)
    assert second.codes == [LOST_CODE]
    assert said(caplog)[1:] == [
        f"rank 1 was silent for {SECONDS:g} seconds, and the others have ended; all processes end; resume with:"
        " sycoca pretrain --resume run"
    ]


def test_without_rank_0_the_first_process_of_each_host_says_so(
    launched: Callable[..., list[Process]], caplog: pytest.LogCaptureFixture
):
    first, *others = launched("a", "a", "a", "b", "b")
    first.kill()
    wait_for(lambda: all(process.codes for process in others))
    lines = said(caplog)
    assert len(lines) == 2
    assert all(line.startswith("rank 0 (process ") for line in lines)


def test_an_observer_that_was_stopped_itself_hears_the_others_first(
    launched: Callable[..., list[Process]], caplog: pytest.LogCaptureFixture
):
    first, second = launched("a", "a")
    stopped = threading.Event()
    for process in (first, second):
        process.heartbeat._end_with_failed = lambda: wait_until(stopped)  # stops the whole thread
    time.sleep(4 * SECONDS)
    stopped.set()
    time.sleep(SECONDS)
    assert (said(caplog), first.codes, second.codes) == ([], [], [])


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_of_one_ends_the_others(
    launched: Callable[..., list[Process]],
    caplog: pytest.LogCaptureFixture,
    failing: int,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("sycoca.training.engine.distributed.heartbeat.GRACE_SECONDS", 0.1)
    processes = launched("a", "a")
    processes[failing].heartbeat.leave("failed", "3 of 9 samples are unusable")
    other = processes[1 - failing]
    wait_for(lambda: other.codes)
    assert other.codes == [FAILED_CODE]
    # Rank 0 prints its own error.
    assert [line.partition("has failed: ")[2].partition(";")[0] for line in said(caplog)] == (
        ["3 of 9 samples are unusable"] if failing == 1 else []
    )


def test_an_error_of_all_ends_each_by_itself(launched: Callable[..., list[Process]], caplog: pytest.LogCaptureFixture):
    processes = launched("a", "a")
    for process in processes:
        process.heartbeat.leave("failed", "too many skipped steps")
    assert (said(caplog), [process.codes for process in processes]) == ([], [[], []])


def test_ctrl_c_is_no_failure_of_another_process(
    launched: Callable[..., list[Process]], caplog: pytest.LogCaptureFixture
):
    processes = launched("a", "a")
    for process in processes:
        process.heartbeat.leave("interrupted", "it was interrupted")
    assert (said(caplog), [process.codes for process in processes]) == ([], [[], []])


def test_an_interrupt_after_a_failure_is_torchrun_s(
    launched: Callable[..., list[Process]], caplog: pytest.LogCaptureFixture
):
    first, second = launched("a", "a")
    second.heartbeat.leave("failed", "3 of 9 samples are unusable")
    first.heartbeat.leave("interrupted", "it was interrupted")
    assert first.codes == [FAILED_CODE]
    assert "has failed: 3 of 9 samples are unusable" in said(caplog)[0]


def test_after_a_broken_collective_the_cause_is_awaited(
    launched: Callable[..., list[Process]], caplog: pytest.LogCaptureFixture
):
    first, second = launched("a", "a")
    second.hang()
    first.heartbeat.leave("broken", "Connection closed by peer")
    assert first.codes == [LOST_CODE]
    assert "has been silent" in said(caplog)[0]
    second.resume()


def test_a_stranger_is_sent_away(launched: Callable[..., list[Process]]):
    first, _ = launched("a", "a")
    port = json.loads(first.store.get("heartbeat"))["port"]
    for words in (
        b'{"hello": "x", "rank": 1}\n',
        '{"hello": "é", "rank": []}\n'.encode(),
        b"GET / HTTP/1.1\r\n\r\n",
        b"[1]\n",
        b'{"hello": "\\ud800", "rank": 1}\n',
        b"[" * 50_000 + b"\n",
        b"x" * 100_000,
    ):
        with socket.create_connection(("127.0.0.1", port), 5) as stranger:
            stranger.sendall(words)
            with contextlib.suppress(ConnectionResetError):
                assert stranger.recv(10) == b""
    time.sleep(SECONDS)
    assert first.codes == []
