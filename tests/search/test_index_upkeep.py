"""What is written when, and when an approximate search is measured again."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sycoca
from builders.image_indexes import counts, directions, write_index
from builders.predictors import photo
from sycoca.inference.predictor import Predictor
from sycoca.outputs.errors import DiskFullError, LeaseLostError
from sycoca.outputs.lease import Lease
from sycoca.search.build import IndexResult
from sycoca.search.clusters import is_outdated
from sycoca.search.index_facts import RecallFacts
from sycoca.search.index_table import IndexTable
from sycoca.search.writing import uninterrupted

Index = Callable[..., IndexResult]

RECALL = RecallFacts(
    num_images=6,
    num_probes=1,
    num_clusters=2,
    image_recall=0.98,
    text_recall=0.98,
    text_kind="texts",
    num_queries=50,
    exact_seconds=0.05,
    approximate_seconds=0.005,
)


def num_images() -> int:
    table = IndexTable.open("photos.lance")
    assert table is not None
    return table.count()


def lose_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(_: Lease) -> None:
        raise LeaseLostError("taken over")

    monkeypatch.setattr(Lease, "check", lost)


@pytest.mark.usefixtures("photos")
def test_nothing_is_written_to_an_index_that_another_process_has_taken_over(
    index: Index, monkeypatch: pytest.MonkeyPatch
):
    lose_lease(monkeypatch)
    with pytest.raises(LeaseLostError):
        index()
    assert num_images() == 0


def test_nothing_is_removed_from_an_index_that_another_process_has_taken_over(
    photos: Path, index: Index, monkeypatch: pytest.MonkeyPatch
):
    index()
    (photos / "it's 0.png").unlink()
    lose_lease(monkeypatch)
    with pytest.raises(LeaseLostError):
        index()
    assert num_images() == 6


@pytest.mark.usefixtures("photos")
def test_a_full_disk_is_said_with_what_is_left(index: Index, monkeypatch: pytest.MonkeyPatch):
    def full(*_: Any) -> None:
        raise RuntimeError("lance error: LanceError(IO): No space left on device (os error 28)")

    monkeypatch.setattr(IndexTable, "add", full)
    with pytest.raises(DiskFullError, match=r"the disk is full; .*photos.lance has 0 images, the data 6; the same"):
        index()


@pytest.mark.parametrize(("name", "value", "commits"), [("_LEAST_SECONDS", 0, 3), ("MOST_PENDING", 2, 3), (None, 0, 1)])
@pytest.mark.usefixtures("photos")
def test_rows_are_committed_as_they_come_and_joined_at_the_end(
    index: Index, monkeypatch: pytest.MonkeyPatch, name: str | None, value: int, commits: int
):
    monkeypatch.setattr("sycoca.search.writing._LEAST_SECONDS", 60)
    if name is not None:
        monkeypatch.setattr(f"sycoca.search.writing.{name}", value)
    added: list[int] = []
    add = IndexTable.add
    monkeypatch.setattr(IndexTable, "add", lambda self, rows: (added.append(len(rows)), add(self, rows)))
    index()
    assert len(added) == commits
    assert len(list(Path("photos.lance/images.lance/data").iterdir())) == 1


def test_equal_images_of_a_batch_are_embedded_once(predictor: Predictor, photos: Path, index: Index):
    shutil.copy(photos / "it's 0.png", photos / "it's 0 again.png")
    assert counts(index()) == (7, 6, 0, 0)
    found = sycoca.open_index("photos.lance", weights=predictor).search(photos / "it's 0.png", count=2)
    assert [hit.columns["key"] for hit in found] == ["it's 0 again.png", "it's 0.png"]


def test_a_changed_index_is_measured_again_and_clustered_again_where_it_is_outdated(
    photos: Path, index: Index, monkeypatch: pytest.MonkeyPatch
):
    done: list[str] = []
    measured = [RECALL, replace(RECALL, text_recall=0.97), replace(RECALL, text_recall=0.94), RECALL]

    def cluster(_: IndexTable) -> int:
        done.append("clustered")
        return 2

    def measure(table: IndexTable, *_: Any) -> RecallFacts:
        done.append("measured")
        return replace(measured.pop(0), num_images=table.count())

    monkeypatch.setattr("sycoca.search.indexing.cluster", cluster)
    monkeypatch.setattr("sycoca.search.indexing.measured_recall", measure)
    monkeypatch.setattr(IndexTable, "is_clustered", lambda _: True)

    def done_by(call: Callable[[], object]) -> list[str]:
        done.clear()
        call()
        index(exact_below=6)
        return done

    assert done_by(lambda: None) == ["clustered", "measured"]
    assert done_by(lambda: None) == []
    assert done_by(lambda: photo(50, 40, seed=7).save(photos / "it's 0.png")) == ["measured"]
    assert done_by(lambda: photo(50, 40, seed=8).save(photos / "new.png")) == ["measured", "clustered", "measured"]


def test_an_approximate_search_is_outdated_when_it_misses_too_much_or_the_index_is_four_times_as_large():
    assert not is_outdated(RECALL)
    assert is_outdated(replace(RECALL, image_recall=0.94))
    assert is_outdated(replace(RECALL, text_recall=0.94))
    assert not is_outdated(replace(RECALL, num_images=15))
    assert is_outdated(replace(RECALL, num_images=16))


def test_a_search_that_finds_too_few_in_its_clusters_compares_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    table = write_index(tmp_path / "photos.lance", directions(20, 10))
    table.write_facts(replace(table.facts, exact_below=2, recall=RECALL))
    nearest = IndexTable.nearest

    def of_one_cluster(self: IndexTable, query: np.ndarray, count: int, names: Any, **options: Any) -> Any:
        few = count if options["num_probes"] is None else min(count, 3)
        return nearest(self, query, few, names, where=options["where"])

    monkeypatch.setattr(IndexTable, "nearest", of_one_cluster)
    index, query = sycoca.open_index(tmp_path / "photos.lance"), directions(1, 10, seed=1)[0]
    few, many = index.search_embedding(query, 3), index.search_embedding(query, 4, where="width < 110")
    assert (len(few), few.is_exact) == (3, False)
    assert (len(many), many.is_exact) == (4, True)


def test_rows_are_spread_evenly_and_many_keys_are_several_conditions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    table = write_index(tmp_path / "photos.lance", directions(10, 4))
    assert table.spread(5, ("key",))["key"].to_pylist() == [f"image-{number}" for number in (0, 2, 4, 6, 8)]
    assert len(table.spread(20, ("key",))) == 10
    monkeypatch.setattr("sycoca.search.index_table._MOST_IN_LIST", 2)
    assert sorted(table.rows_with(range(5), ("content",))["content"].to_pylist()) == [0, 1, 2, 3, 4]
    table.delete([f"image-{number}" for number in range(5)])
    assert table.count() == 5


def test_a_commit_ends_before_ctrl_c_is_raised():
    done: list[str] = []

    def commit() -> None:
        time.sleep(0.4)
        done.append("committed")

    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        uninterrupted(commit)
    assert done == ["committed"]
    with pytest.raises(ValueError, match="no commit"):
        uninterrupted(lambda: int("no commit"))
