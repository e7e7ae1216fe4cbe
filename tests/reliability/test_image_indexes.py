"""An image index whose program is killed at random moments; and an approximate search of 200,000 vectors.

Run it alone with ``pytest -s -m slow tests/reliability/test_image_indexes.py``. SYCOCA_KILL_SEED sets the seed of the
moments.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

import sycoca
from builders.benchmark_scripts import benchmark_script
from builders.forked_commands import ForkedCommands
from builders.predictors import save_small_weights
from sycoca.data.spec import open_source
from sycoca.search.index_table import IndexTable

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="forks")]

SEED = int(os.environ.get("SYCOCA_KILL_SEED", "0"))
STOPS = 8
IMAGES = 3000
SCENES = f"scenes:?count={IMAGES}&size=32"


@pytest.fixture(scope="module")
def server() -> Iterator[ForkedCommands]:
    server = ForkedCommands()
    yield server
    server.close()


def rows_of(path: Path) -> dict[str, list[float]]:
    """Return the embeddings by key; none where the index has not been created."""
    table = IndexTable.open(str(path))
    if table is None:
        return {}
    found = table.columns(("key", "embedding")).to_pydict()
    rows = dict(zip(found["key"], found["embedding"], strict=True))
    assert len(rows) == len(found["key"]), "a row is there twice"
    return rows


def state_of(path: Path) -> dict[str, object]:
    """Return what changes when a program begins with an index, and when it has written images."""
    lease = path / ".lease"
    return {
        "lease": lease.read_bytes() if lease.exists() else None,
        "commits": len(list((path / "images.lance" / "data").glob("*"))),
    }


def stopped(
    server: ForkedCommands, words: list[str], log: Path, watched: Sequence[str], number: int, seconds: float
) -> int:
    """Start a command, send it a signal some time after what is ``watched`` has changed, and return its exit code."""
    path = Path(words[words.index("--out") + 1])
    before = state_of(path)
    running = server.start(words, log)
    while running.poll() is None and any(state_of(path)[name] == before[name] for name in watched):
        time.sleep(0.01)
    time.sleep(seconds)
    if running.poll() is None:
        os.kill(running.pid, number)
    return running.wait()


def test_an_index_that_is_stopped_at_random_loses_and_repeats_nothing(server: ForkedCommands, tmp_path: Path):
    weights, path, log = save_small_weights(tmp_path / "weights"), tmp_path / "photos.lance", tmp_path / "log"
    words = ["index", str(weights), SCENES, "--out", str(path), "--batch-size", "16", "--device", "cpu", "--json"]
    moments, before, nums = random.Random(SEED), {}, []
    for stop in range(STOPS):
        # Half of the stops come soon after the begin, the others soon after a commit, however slow the machine is.
        watched = ("lease",) if stop % 4 < 2 else ("lease", "commits")
        number = signal.SIGKILL if stop % 2 else signal.SIGINT
        code = stopped(server, words, log, watched, number, moments.uniform(0.0, 0.4))
        assert code in (0, 130, -signal.SIGKILL), log.read_text("utf-8")
        after = rows_of(path)
        assert before.items() <= after.items(), "an embedding was lost or made again"
        before = after
        nums.append((code, len(after)))
        if code == 0:
            break
    print(f"\nexit codes and images after each stop: {nums}")
    assert any(num for code, num in nums if code != 0), "no stop met it at work"
    output = tmp_path / "last"
    assert server.start(words, output).wait() == 0, output.read_text("utf-8")
    result = json.loads(output.read_text("utf-8")[output.read_text("utf-8").index("{") :])
    assert result["embedded"] == IMAGES - len(before)
    assert result["images"] == IMAGES
    after = rows_of(path)
    assert before.items() <= after.items()
    source, predictor = open_source(SCENES), sycoca.load(weights, device="cpu")
    expected = predictor.embed_images([source[index] for index in range(len(source))]).numpy()
    found = np.array([after[source[index].key] for index in range(len(source))])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_approximate_search_of_200_000_clustered_vectors():
    measured = benchmark_script("image_search").of_vectors(200_000, 512)
    print(f"\n{json.dumps(measured)}")
    assert min(measured["image_recall"], measured["text_recall"]) >= 0.95
    assert measured["approximate_seconds"] <= measured["exact_seconds"] / 5
    # Looking at so many vectors at random would find no more than these.
    assert measured["recall_of_as_many_at_random"] < 0.5
