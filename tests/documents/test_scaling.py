"""docs/scaling.md: its computed tables are those that benchmarks/scaling.py computes, from sizes that are counted."""

from typing import Any

import pytest

from builders.benchmark_scripts import benchmark_script
from builders.documents import Document

scaling = benchmark_script("scaling")


@pytest.mark.parametrize("table", scaling.TABLES, ids=lambda table: table.__name__)
def test_tables_are_those_that_are_computed(table: Any):
    assert table() in Document("docs/scaling.md").text


def test_bytes_between_hosts_are_computed():
    assert f"of the last row's bytes, {scaling.between_hosts()}" in Document("docs/scaling.md").text


def test_operations_and_parameters_of_tiny_are_counted():
    check_count(scaling.MODELS[0])


@pytest.mark.slow
@pytest.mark.parametrize("model", scaling.MODELS, ids=lambda model: model.preset)
def test_operations_and_parameters_are_counted(model: Any):
    check_count(model)


def check_count(model: Any) -> None:
    found = scaling.count(model.preset)
    assert found.num_parameters == model.num_parameters
    assert found.num_gathered == model.num_gathered
    assert found.gflop_per_pair == pytest.approx(model.gflop_per_pair, rel=1e-4)
