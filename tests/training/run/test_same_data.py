"""Processes that read other data than rank 0 are found before the first step."""

import json
from typing import Any

import pytest

from builders.predictors import ListSource, photo_source
from sycoca.training.config import RuntimeConfig
from sycoca.training.engine.runtime import Runtime
from sycoca.training.recipes.recipe import Sources
from sycoca.training.run.same_data import refuse_other_data

TRAIN, VALIDATION = photo_source([("a",), ("b", "c"), ("d",)]), photo_source([("e",)])


def sources(train: ListSource = TRAIN, validation: ListSource | None = VALIDATION) -> Sources:
    return Sources(train=train, validation=validation)


def compare(monkeypatch: pytest.MonkeyPatch, *of_ranks: Sources) -> None:
    """Let processes compare their data, and look at what the last one says."""
    runtime, said = Runtime(RuntimeConfig(device="cpu")), []

    def gathered(own: list[Any]) -> list[Any]:
        said.extend(own)
        if len(said) < len(of_ranks):
            raise StopIteration
        return json.loads(json.dumps(said))

    runtime.world_size = len(of_ranks)
    monkeypatch.setattr(runtime, "gather_plain", gathered)
    for one in of_ranks[:-1]:
        with pytest.raises(StopIteration):
            refuse_other_data(one, runtime)
    refuse_other_data(of_ranks[-1], runtime)


def test_equal_data_are_fine(monkeypatch: pytest.MonkeyPatch):
    compare(monkeypatch, sources(), sources(), sources())
    compare(monkeypatch, sources(validation=None), sources(validation=None))


def test_one_process_has_nobody_to_compare_with():
    refuse_other_data(sources(), Runtime(RuntimeConfig(device="cpu")))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (sources(photo_source([("a",), ("d",)])), "other training data than rank 0: 2 samples, and rank 0 has 3;"),
        (sources(photo_source([("a",), ("b", "x"), ("d",)])), "training data .*: 3 samples, and rank 0 has 3 others;"),
        (sources(validation=None), "other validation data than rank 0: 0 samples, and rank 0 has 1;"),
    ],
)
def test_other_data_are_refused_with_the_rank(monkeypatch: pytest.MonkeyPatch, other: Sources, message: str):
    with pytest.raises(ValueError, match=f"rank 2 has .*{message}"):
        compare(monkeypatch, sources(), sources(), other)
