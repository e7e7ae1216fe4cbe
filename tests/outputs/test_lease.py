import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from sycoca.outputs import lease as leases
from sycoca.outputs.errors import LeaseHeldError, LeaseLostError, OutputError
from sycoca.outputs.lease import OLD_SECONDS, Lease, create_once, lease_beside

HOLD = """
import sys, time
from pathlib import Path
from sycoca.outputs.errors import OutputError
from sycoca.outputs.lease import Lease
path, start, seconds = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
time.sleep(max(0, start - time.time()))
try:
    with Lease(path, Path("out.jsonl")):
        print("holds", flush=True)
        time.sleep(seconds)
except OutputError as error:
    print("refused", error, flush=True)
"""


def started(path: Path, *, start: float = 0, seconds: float = 60) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", HOLD, str(path), str(start), str(seconds)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / ".out.jsonl.lease"
    # Whatever happened, nothing is left but, at most, the lease itself.
    assert {one.name for one in tmp_path.iterdir()} <= {".out.jsonl.lease"}


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    with started(path) as process:
        assert first_line(process) == "holds"
        yield process
        process.kill()


def test_a_stop_that_comes_once_the_file_is_there_leaves_none(path: Path, monkeypatch: pytest.MonkeyPatch):
    link = os.link

    def linked(new: Path, path: Path) -> None:
        link(new, path)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", linked)
    with pytest.raises(KeyboardInterrupt), Lease(path, Path("out.jsonl")):
        pass
    assert not path.exists()


def take(path: Path) -> None:
    with Lease(path, Path("out.jsonl")):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert not path.exists()


def left_behind(path: Path, **changes: object) -> None:
    """Write the lease of a process of another host."""
    with Lease(path, Path("out.jsonl")):
        held = json.loads(path.read_text())
    path.write_text(json.dumps(held | {"host": "other", "process_space": "other boot", "pid": 7} | changes))


def age(path: Path, seconds: float) -> None:
    renewed_at = time.time() - seconds
    os.utime(path, (renewed_at, renewed_at))


def test_a_second_process_is_refused_with_host_and_process_of_the_first(path: Path, holder: subprocess.Popen[str]):
    host = json.loads(path.read_text())["host"]
    with pytest.raises(OutputError, match=rf"^out\.jsonl is being written by process {holder.pid} on {host}, since 20"):
        take(path)


def test_a_killed_process_of_this_host_is_replaced_at_once(
    path: Path, holder: subprocess.Popen[str], caplog: pytest.LogCaptureFixture
):
    os.kill(holder.pid, signal.SIGKILL)
    time.sleep(0.2)
    take(path)  # it is not even waited for: a zombie
    assert f"out.jsonl: taken over from process {holder.pid} on" in caplog.text
    assert "which has ended" in caplog.text


def test_a_live_process_of_this_host_is_never_replaced(path: Path, holder: subprocess.Popen[str]):
    os.kill(holder.pid, signal.SIGSTOP)
    age(path, 10 * OLD_SECONDS)
    with pytest.raises(OutputError, match=f"process {holder.pid}"):
        take(path)


@pytest.mark.usefixtures("holder")
def test_another_process_with_the_same_id_is_not_the_holder(path: Path):
    path.write_text(json.dumps(json.loads(path.read_text()) | {"process_start": "1"}))
    take(path)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "OLD_SECONDS", 2.0)
    monkeypatch.setattr(leases, "_POLL_SECONDS", 0.05)


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("seconds", [0, 1, -1])
def test_the_lease_of_another_host_is_respected_while_its_heart_beats(path: Path, seconds: float):
    left_behind(path)
    age(path, seconds)
    beat = threading.Timer(0.5, lambda: age(path, seconds - 0.5))
    beat.start()
    with pytest.raises(OutputError, match="process 7 on other"):
        take(path)
    beat.join()


def test_who_does_not_wait_is_refused_at_once_and_takes_an_old_lease_over(path: Path):
    left_behind(path)
    started_at = time.monotonic()
    with (
        pytest.raises(LeaseHeldError, match="is being written by process 7 on other"),
        Lease(path, Path("out.jsonl"), waits=False),
    ):
        pass
    assert time.monotonic() - started_at < 1
    os.utime(path, (time.time() - OLD_SECONDS - 1,) * 2)
    with Lease(path, Path("out.jsonl"), waits=False):
        assert json.loads(path.read_text())["pid"] == os.getpid()


@pytest.mark.usefixtures("fast")
def test_a_process_that_was_killed_on_another_host_a_moment_ago_is_waited_for(
    path: Path, caplog: pytest.LogCaptureFixture
):
    left_behind(path)
    take(path)
    assert "out.jsonl: waiting for up to 2 seconds, to see whether process 7 on other still runs" in caplog.text
    assert "taken over from process 7 on other, which has not been heard of for too long" in caplog.text


@pytest.mark.usefixtures("fast")
def test_a_process_on_another_host_that_ends_while_it_is_waited_for_makes_room(path: Path):
    left_behind(path)
    end = threading.Timer(0.3, path.unlink)
    end.start()
    take(path)
    end.join()


@pytest.mark.parametrize("seconds", [2 * OLD_SECONDS, 10**9, -2 * OLD_SECONDS, -(10**9)])
def test_an_old_lease_is_taken_over_even_if_a_clock_was_wrong(
    path: Path, seconds: float, caplog: pytest.LogCaptureFixture
):
    left_behind(path)
    age(path, seconds)
    take(path)
    assert "taken over from process 7 on other, which has not been heard of for too long" in caplog.text


@pytest.mark.parametrize("text", [b"", b"garbage", b"[]", b"{}", b'{"pid": "x"}', b"\xff\xfe", b'{"token": 1}'])
@pytest.mark.usefixtures("fast")
def test_a_lease_that_cannot_be_read_counts_until_it_is_old(text: bytes, path: Path):
    path.write_bytes(text)
    beat = threading.Timer(0.2, lambda: age(path, 0.5))
    beat.start()
    with pytest.raises(OutputError, match="is being written by an unknown process; wait for it"):
        take(path)
    beat.join()
    age(path, 10)
    take(path)


@pytest.mark.parametrize("is_old", [pytest.param(False, marks=pytest.mark.slow), True])
def test_of_many_processes_exactly_one_gets_the_lease(path: Path, is_old: bool):
    if is_old:
        left_behind(path)
        age(path, 2 * OLD_SECONDS)
    with ExitStack() as stack:
        start = time.time() + 1.5
        processes = [stack.enter_context(started(path, start=start, seconds=2)) for _ in range(6)]
        words = [first_line(process).split()[0] for process in processes]
    assert sorted(words) == ["holds"] + 5 * ["refused"]


def test_of_many_threads_exactly_one_takes_over(path: Path):
    # In one process they meet in the narrow places more often.
    for _ in range(30):
        left_behind(path)
        age(path, 2 * OLD_SECONDS)
        barrier, is_done = threading.Barrier(8), threading.Event()

        def race(barrier: threading.Barrier = barrier, is_done: threading.Event = is_done) -> bool:
            barrier.wait()
            try:
                with Lease(path, Path("out.jsonl")):
                    is_done.wait(5)
                    return True
            except OutputError:
                return False

        with ThreadPoolExecutor(8) as pool:
            races = [pool.submit(race) for _ in range(8)]
            time.sleep(0.05)
            while sum(one.done() for one in races) < 7:
                time.sleep(0.01)
            is_done.set()
            assert sum(one.result() for one in races) == 1


def test_a_killed_take_over_does_not_stand_in_the_way(path: Path):
    left_behind(path)
    token = json.loads(path.read_text())["token"]
    path.rename(path.with_name(f"{path.name}.{token}"))
    left_behind(path, token=token)
    for one in path.parent.iterdir():
        age(one, 2 * OLD_SECONDS)
    take(path)


def test_a_lost_lease_stops_its_former_holder(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.05)
    with Lease(path, Path("out.jsonl")) as held:
        held.check()
        path.unlink()
        left_behind(path)
        time.sleep(0.3)
        with pytest.raises(LeaseLostError, match=r"out\.jsonl was taken over by another process"):
            held.check()
    assert json.loads(path.read_text())["host"] == "other"


def test_a_holder_that_was_stopped_looks_before_it_writes(path: Path, monkeypatch: pytest.MonkeyPatch):
    with Lease(path, Path("out.jsonl")) as held:
        path.unlink()
        left_behind(path)
        held.check()  # within a heartbeat it does not look
        now = time.time()
        monkeypatch.setattr(leases.time, "time", lambda: now + 3 * leases.HEARTBEAT_SECONDS)
        with pytest.raises(LeaseLostError):
            held.check()


def test_the_heart_beats(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.05)
    with Lease(path, Path("out.jsonl")) as held:
        age(path, 1000)
        time.sleep(0.3)
        assert time.time() - path.stat().st_mtime < 10
        path.unlink()  # by somebody who tidies up
        time.sleep(0.3)
        assert path.exists()
        held.check()
    assert not path.exists()


def test_without_hard_links_a_lease_is_as_exclusive(path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with Lease(path, Path("out.jsonl")), pytest.raises(OutputError, match="by this very process"):
        take(path)
    take(path)


def test_a_released_lease_is_not_created_again_by_a_last_heartbeat(path: Path):
    with Lease(path, Path("out.jsonl")) as held:
        pass
    held._look()
    assert not path.exists()


@pytest.mark.usefixtures("fast")
def test_a_holder_that_is_back_before_its_lease_is_taken_over_keeps_it(path: Path, monkeypatch: pytest.MonkeyPatch):
    left_behind(path)
    age(path, 10)
    enter = Lease.__enter__

    def enter_late(lease: Lease) -> Lease:
        entered = enter(lease)
        if lease.path != path:  # the lease under which the first one is taken over
            age(path, -0.5)
            threading.Timer(0.3, lambda: age(path, -1)).start()
        return entered

    monkeypatch.setattr(Lease, "__enter__", enter_late)
    with pytest.raises(OutputError, match="is being written by process 7 on other"):
        take(path)


def test_an_error_releases_the_lease(path: Path):
    with pytest.raises(RuntimeError), Lease(path, Path("out.jsonl")):
        raise RuntimeError("of the work")
    take(path)


def test_a_lease_lies_beside_what_a_link_leads_to(tmp_path: Path):
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "out")
    assert lease_beside(tmp_path / "link") == tmp_path / "deep" / ".out.lease"
    long = "ä" * 120
    assert len(lease_beside(tmp_path / long).name) < 60
    assert lease_beside(tmp_path / long) != lease_beside(tmp_path / f"{long}b")


@pytest.mark.parametrize("name", ["plan.json", ".run.lease"])
def test_what_a_killed_process_leaves_of_a_file_that_it_creates_is_hidden(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    link, left = os.link, list[str]()

    def watched(new: Path, path: Path) -> None:
        left.extend(one.name for one in tmp_path.iterdir())  # what a kill at this moment would leave
        link(new, path)

    monkeypatch.setattr(os, "link", watched)
    assert create_once(tmp_path / name, b"text")
    assert len(left) == 1
    assert left[0].startswith(f".{name.removeprefix('.')}.")
    assert [one.name for one in tmp_path.iterdir()] == [name]
