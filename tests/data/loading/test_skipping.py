import json
import time
from functools import partial
from pathlib import Path

import pytest

from builders.predictors import ListSource, open_photo
from sycoca.data.loading.skipping import SkipLog, UsableSamples, image_problems, read_skipped, usable_source
from sycoca.data.samples import ImageTextSample
from sycoca.preprocess.decoding import open_rgb
from sycoca.unusable import SkippedSample, UnusableSampleError, unusable


def source_of(tmp_path, count: int, missing: tuple[int, ...] = ()) -> ListSource:
    return ListSource(
        samples=tuple(
            ImageTextSample(
                key=f"photo-{index}",
                captions=("a dog",),
                open_image=partial(open_rgb, tmp_path / f"{index}.jpg", None)
                if index in missing
                else partial(open_photo, index),
            )
            for index in range(count)
        )
    )


class Incomplete(ListSource):
    """A source that has left two samples out itself."""

    skipped = tuple(
        SkippedSample(name=f"line {line}", reason="empty caption", detail=f"c.csv, line {line}: the caption is empty")
        for line in (3, 8)
    )


def problem(name: str) -> SkippedSample:
    return SkippedSample(name=name, reason="missing image", detail=f"{name} is missing")


def test_counts_a_name_once_and_keeps_the_order(tmp_path):
    log = SkipLog(source_of(tmp_path, 10), 0.5)
    for name in ("b", "a", "b"):
        log.add(problem(name))
    assert [skipped.name for skipped in log.skipped] == ["b", "a"]
    assert log.summary() == "2 of 10 samples skipped: 2 missing image"


def test_what_the_source_has_left_out_counts_with_the_rest(tmp_path):
    source = Incomplete(samples=source_of(tmp_path, 8).samples)
    log = SkipLog(source, 0.3)
    log.add(problem("a"))
    assert log.summary() == "3 of 10 samples skipped: 2 empty caption, 1 missing image"
    with pytest.raises(ValueError, match=r"^b is missing \(4 of 10 samples cannot be used, more than max_"):
        log.add(problem("b"))
    with pytest.raises(ValueError, match=r"line 3: the caption is empty \(1 of 10 samples"):
        SkipLog(source, 0.0)


def test_the_file_is_taken_up_again_and_holds_every_name_once(tmp_path):
    path = tmp_path / "skipped.jsonl"
    source = Incomplete(samples=source_of(tmp_path, 8).samples)
    SkipLog(source, 1.0, path).add(problem("a"))
    with path.open("a") as file:
        file.write('{"name": "half a li')
    again = SkipLog(source, 1.0, path)
    again.add(problem("a"))
    again.add(problem("ü"))
    assert [one.name for one in read_skipped(path)] == ["line 3", "line 8", "a", "ü"]


def test_what_a_file_names_counts_when_it_fails_again(tmp_path):
    """It may have been repaired, as the error has asked for."""
    path, source = tmp_path / "skipped.jsonl", source_of(tmp_path, 10)
    first = SkipLog(source, 0.2, path)
    first.add(problem("a"))
    first.add(problem("b"))
    with pytest.raises(ValueError, match="3 of 10 samples cannot be used"):
        first.add(problem("c"))
    again = SkipLog(source, 0.2, path)
    assert (len(again), again.num_lost) == (3, 3)
    for name in ("d", "a"):
        again.add(problem(name))
    with pytest.raises(ValueError, match=r"^c is missing \(3 of 10 samples cannot be used"):
        again.add(problem("c"))
    assert [one.name for one in read_skipped(path)] == ["a", "b", "c", "d"]


def test_where_all_is_read_again_the_file_begins_anew(tmp_path):
    path, source = tmp_path / "skipped.jsonl", source_of(tmp_path, 10)
    SkipLog(source, 0.5, path).add(problem("a"))
    again = SkipLog(source, 0.5, path, resumes=False)
    assert len(again) == 0
    again.add(problem("b"))
    assert [one.name for one in read_skipped(path)] == ["b"]


def test_a_clean_source_leaves_no_file(tmp_path):
    log = SkipLog(source_of(tmp_path, 3), 0.0, tmp_path / "skipped.jsonl")
    assert len(log) == 0
    assert not (tmp_path / "skipped.jsonl").exists()


def test_takes_what_is_new_since_the_last_time(tmp_path):
    log = SkipLog(source_of(tmp_path, 10), 1.0)
    log.add(problem("a"))
    assert [one.name for one in log.take_new()] == ["a"]
    log.add(problem("b"))
    assert [one.name for one in log.take_new()] == ["b"]
    assert log.take_new() == []


def test_what_the_source_has_left_out_is_known_to_all_processes_and_a_file_does_not_count(tmp_path):
    source = Incomplete(samples=source_of(tmp_path, 8).samples)
    path = tmp_path / "skipped.jsonl"
    first = SkipLog(source, 1.0, path)
    assert first.take_new() == []
    first.add(problem("a"))
    again = SkipLog(source, 1.0, path)
    again.add(problem("b"))
    assert [one.name for one in again.take_new()] == ["b"]


def test_the_time_of_recording_does_not_grow_with_what_is_recorded(tmp_path):
    class Damaged(ListSource):
        skipped = tuple(problem(f"{number}") for number in range(40_000))

    source = Damaged(samples=source_of(tmp_path, 8).samples)
    started_at = time.process_time()
    log = SkipLog(source, 1.0)
    assert time.process_time() - started_at < 5  # a copy of all of them for each one takes 20 seconds
    assert len(log) == 40_000


def test_usable_samples_leave_out_what_cannot_be_read_under_the_samples_names(tmp_path):
    source = source_of(tmp_path, 6, missing=(0, 4))
    usable = UsableSamples(
        source, SkipLog(source, 0.5, tmp_path / "skipped.jsonl"), image_problems(source, range(len(source)))
    )
    assert [usable[index].key for index in range(len(usable))] == ["photo-1", "photo-2", "photo-3", "photo-5"]
    assert [(one.name, one.reason) for one in usable.skipped] == [
        ("photo-0", "missing image"),
        ("photo-4", "missing image"),
    ]
    lines = (tmp_path / "skipped.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["photo-0", "photo-4"]


def test_usable_samples_open_no_more_than_the_limit(tmp_path):
    source = source_of(tmp_path, 6, missing=(4, 5))
    assert len(UsableSamples(source, SkipLog(source, 0.0), image_problems(source, range(4)))) == 4
    with pytest.raises(ValueError, match=r"4\.jpg"):
        UsableSamples(source, SkipLog(source, 0.0), image_problems(source, range(5)))


def test_a_source_without_usable_samples_is_an_error(tmp_path):
    source = source_of(tmp_path, 2, missing=(0, 1))
    with pytest.raises(ValueError, match="a list has no sample that can be used: 2 missing image"):
        UsableSamples(source, SkipLog(source, 1.0), image_problems(source, range(2)))


@pytest.mark.parametrize("ratio", [-1.0, 5.0, float("nan"), float("inf")])
def test_a_ratio_that_is_no_fraction_is_refused_before_any_image_is_opened(ratio: float):
    source = source_of(Path(), 1)
    for begin in (SkipLog, usable_source):
        with pytest.raises(ValueError, match="max_skipped_ratio must lie between 0 and 1, got"):
            begin(source, ratio)


def test_the_error_says_its_detail_and_survives_a_trip_between_processes():
    import copy

    error = unusable("a.jpg", "missing image", "a.jpg is missing")
    twin = copy.copy(error)
    assert isinstance(twin, UnusableSampleError)
    assert (str(twin), twin.skipped) == ("a.jpg is missing", error.skipped)
