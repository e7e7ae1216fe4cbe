"""Maps on a local Ray cluster of two workers, of which one is killed: the folder is that of an undisturbed worker.

``make test-ray`` runs this in an environment of its own, since Ray is no part of the others.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from builders.predictors import save_small_weights
from builders.twelve_pictures import caption_lines, write_pictures

pytestmark = pytest.mark.slow

SCENES = "scenes:?count=400&size=32"
COMMON = ["--block-size", "10", "--batch-size", "8", "--temperature", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_weights(tmp_path_factory.mktemp("model") / "weights")


@pytest.fixture(scope="module")
def undisturbed(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    command = started(weights, folder / "out", folder / "log.txt")
    assert command.wait(300) == 0, (folder / "log.txt").read_text("utf-8")
    return files_of(folder / "out")


def started(weights: Path, out: Path, log: Path, *more: str, data: str = SCENES) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "sycoca", "map", "caption", str(weights), data, "--out", str(out), *COMMON, *more]
    with log.open("ab") as file:
        return subprocess.Popen(words, stdout=file, stderr=file, env={**os.environ, "OMP_NUM_THREADS": "1"})


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def wait_for(what: Callable[[], object], seconds: float = 240) -> object:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError("nothing has happened")


def holders(out: Path) -> set[int]:
    """Return the processes that hold a block now."""
    found = set()
    for lease in out.glob(".0*.lease"):
        try:
            found.add(json.loads(lease.read_bytes())["pid"])
        except (OSError, ValueError):
            continue
    return found


def num_files(out: Path) -> int:
    return len(list(out.glob("0*.jsonl")))


def check(command: subprocess.Popen[bytes], out: Path, log: Path, undisturbed: dict[str, bytes]) -> None:
    assert command.wait(300) == 0, log.read_text("utf-8")
    assert "a Ray actor was lost with" in log.read_text("utf-8")
    assert files_of(out) == undisturbed


def test_a_killed_actor_is_started_again(weights: Path, undisturbed: dict[str, bytes], tmp_path: Path):
    out, log = tmp_path / "out", tmp_path / "log.txt"
    command = started(weights, out, log, "--engine", "ray", "--workers", "2")
    wait_for(lambda: num_files(out) >= 4 and len(holders(out)) == 2)
    victim = min(holders(out))
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: command.poll() is not None or holders(out) - {victim})
    check(command, out, log, undisturbed)
    print(f"\nkilled actor: {log.read_text('utf-8')}")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield cluster
    cluster.shutdown()


def test_a_lost_node_costs_its_block(weights: Path, undisturbed: dict[str, bytes], tmp_path: Path, cluster: Cluster):
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    out, log = tmp_path / "out", tmp_path / "log.txt"
    command = started(weights, out, log, "--engine", "ray", "--workers", "2", "--ray-address", cluster.address)
    wait_for(lambda: num_files(out) >= 4 and len(holders(out)) == 2)
    cluster.remove_node(nodes[0], allow_graceful=False)
    done = num_files(out)
    check(command, out, log, undisturbed)
    print(f"\nlost node after {done} of {len(undisturbed) - 1} files: {log.read_text('utf-8')}")


def test_a_map_on_ray_is_continued_by_another_engine(weights: Path, undisturbed: dict[str, bytes], tmp_path: Path):
    out, log = tmp_path / "out", tmp_path / "log.txt"
    command = started(weights, out, log, "--engine", "ray", "--workers", "2")
    wait_for(lambda: num_files(out) >= 4)
    command.send_signal(signal.SIGTERM)
    assert command.wait(60) == 143
    assert "the same command makes the others" in log.read_text("utf-8")
    command = started(weights, out, log)
    assert command.wait(300) == 0
    assert files_of(out) == undisturbed


def test_an_error_of_an_actor_is_one_line(weights: Path, tmp_path: Path):
    write_pictures(tmp_path / "images")
    broken = tmp_path / "images" / str(caption_lines()[6]["image"])
    broken.write_text("no picture")
    log, engine = tmp_path / "log.txt", ("--engine", "ray", "--workers", "2")
    command = started(weights, tmp_path / "out", log, *engine, data=str(tmp_path / "images"))
    assert command.wait(240) == 1
    (line,) = [line for line in log.read_text("utf-8").splitlines() if line.startswith("sycoca map")]
    assert line.startswith(f"sycoca map caption: {broken}")
