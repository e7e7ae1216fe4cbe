"""Maps whose workers are killed at random moments: the folder is that of an undisturbed worker, byte for byte.

Run it alone with ``pytest -s -m slow tests/reliability/test_maps.py``. SYCOCA_KILL_SEED sets the seed of the moments.
The cluster of Ray is in ``test_ray_maps.py``.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.forked_commands import ForkedCommands, Running, killed, started
from builders.predictors import save_small_weights
from builders.twelve_pictures import caption_lines, write_lines, write_pictures

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")]

SEED = int(os.environ.get("SYCOCA_KILL_SEED", "0"))
WORKERS = 4
KILLS = 40
SCENES = "scenes:?count=600&size=32"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_weights(tmp_path_factory.mktemp("model") / "weights")


@pytest.fixture(scope="module")
def servers() -> Iterator[list[ForkedCommands]]:
    servers = [ForkedCommands() for _ in range(WORKERS)]
    yield servers
    for server in servers:
        server.close()


def words_of(verb: str, weights: Path, data: str, out: Path, *more: str) -> list[str]:
    common = ["--block-size", "12", "--batch-size", "8", "--device", "cpu"]
    return ["map", verb, str(weights), data, "--out", str(out), *common, *more]


def files_of(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def disturbed(servers: list[ForkedCommands], words: list[str], log: Path, moments: random.Random) -> int:
    """Keep a worker on every server, kill one after the other at random moments, and return how many were killed."""
    running: list[Running] = [server.start(words, log) for server in servers]
    num_killed = 0
    while num_killed < KILLS:
        time.sleep(moments.uniform(0.0, 0.3))
        number = moments.randrange(len(running))
        if not killed(running[number]):
            break  # the folder is complete
        num_killed += 1
        running[number] = servers[number].start(words, log)
    codes = [one.wait() for one in running]
    assert set(codes) <= {0, -signal.SIGKILL}, (codes, log.read_text("utf-8"))
    assert 0 in codes
    return num_killed


@pytest.mark.parametrize(
    ("verb", "options"),
    [
        ("caption", ["--temperature", "1", "--seed", "5"]),
        ("embed", []),
        ("score", ["--format", "parquet"]),
        ("filter", ["--min-similarity", "0.05"]),
    ],
)
def test_four_workers_that_are_killed_at_random_write_what_one_writes(
    weights: Path, servers: list[ForkedCommands], tmp_path: Path, verb: str, options: list[str]
):
    log = tmp_path / "log.txt"
    words = [words_of(verb, weights, SCENES, tmp_path / name, *options) for name in ("undisturbed", "out")]
    assert servers[0].start(words[0], log).wait() == 0, log.read_text("utf-8")
    started_at = time.monotonic()
    num_killed = disturbed(servers, words[1], log, random.Random(f"{SEED} {verb}"))
    seconds = time.monotonic() - started_at
    left = sorted(path.name for path in (tmp_path / "out").rglob(".*"))
    print(f"\n{verb}: {num_killed} kills in {seconds:.1f} s; hidden files that are left: {left}")
    assert num_killed >= 5
    assert files_of(tmp_path / "out") == files_of(tmp_path / "undisturbed")


def test_skipped_images_are_named_once_however_often_workers_are_killed(
    weights: Path, servers: list[ForkedCommands], tmp_path: Path
):
    write_pictures(tmp_path)
    lines = [{**line, "captions": [f"{number}"]} for number in range(25) for line in caption_lines()]
    data = write_lines(tmp_path / "captions.jsonl", lines)
    (tmp_path / str(caption_lines()[6]["image"])).write_text("no picture")
    log, options = tmp_path / "log.txt", ["--temperature", "1", "--max-skipped-ratio", "0.2"]
    words = [words_of("caption", weights, str(data), tmp_path / name, *options) for name in ("undisturbed", "out")]
    assert servers[0].start(words[0], log).wait() == 0, log.read_text("utf-8")
    num_killed = disturbed(servers, words[1], log, random.Random(f"{SEED} skipped"))
    print(f"\nskipped images: {num_killed} kills")
    assert num_killed >= 3
    assert files_of(tmp_path / "out") == files_of(tmp_path / "undisturbed")
    assert len([name for name in files_of(tmp_path / "out") if name.startswith("skipped/")]) > 0


def children_of(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != b"Z":
            found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_processes_of_a_command_that_ends_end_too(weights: Path, tmp_path: Path, number: int):
    words = words_of("caption", weights, "scenes:?count=20000&size=32", tmp_path / "out", "--workers", "2")
    running = started(words, tmp_path / "log.txt")
    while len(list((tmp_path / "out").glob("0*.jsonl"))) < 2:
        time.sleep(0.05)
    workers = children_of(running.pid)
    assert len(workers) >= 2
    os.kill(running.pid, number)
    code = running.wait()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(Path(f"/proc/{pid}").exists() for pid in workers):
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    if number != signal.SIGKILL:
        assert code == {signal.SIGTERM: 143, signal.SIGINT: 130}[signal.Signals(number)]
        assert "the same command makes the others" in (tmp_path / "log.txt").read_text("utf-8")
        assert not list((tmp_path / "out").glob(".0*.lease"))


def test_the_error_of_a_worker_ends_the_command(weights: Path, tmp_path: Path):
    write_pictures(tmp_path / "images")
    broken = str(caption_lines()[6]["image"])
    (tmp_path / "images" / broken).write_text("no picture")
    words = words_of("caption", weights, str(tmp_path / "images"), tmp_path / "out", "--workers", "2")
    assert started(words, tmp_path / "log.txt").wait() == 1
    log = (tmp_path / "log.txt").read_text("utf-8")
    assert f"sycoca map caption: {tmp_path / 'images' / broken}" in log
    assert "Traceback" not in log


def test_workers_that_are_told_to_stop_do_not_pass_for_finished(weights: Path, tmp_path: Path):
    words = words_of("caption", weights, "scenes:?count=20000&size=32", tmp_path / "out", "--workers", "2")
    running = started(words, tmp_path / "log.txt")
    while len(list((tmp_path / "out").glob("0*.jsonl"))) < 2:
        time.sleep(0.05)
    holders = {json.loads(path.read_bytes())["pid"] for path in (tmp_path / "out").glob(".0*.lease")}
    for pid in children_of(running.pid):
        if pid in holders or "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(pid, signal.SIGTERM)
    assert running.wait() == 1
    log = (tmp_path / "log.txt").read_text("utf-8")
    assert "ended with code 143; the others take its block over" in log
    assert "ended with code 143, and no other worker is left; run the command again" in log
