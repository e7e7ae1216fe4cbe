from collections import Counter
from pathlib import Path

import pytest

from sycoca.data.loading.order import KeyedOrder, MixtureOrder, keyed_order, table_order
from sycoca.data.samples import MixedSource
from sycoca.data.spec import open_source

FILE = """
sources:
  - data: scenes:?count=10&size=16
    weight: 3
  - data: scenes:?count=7&size=16&seed=5
    weight: 1
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mixed.yaml"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_a_mixture_is_its_sources_one_after_another(file: Path):
    source = open_source(f"mixture:{file}")
    assert isinstance(source, MixedSource)
    first, second = (part.source for part in source.parts)
    assert (source.name, len(source)) == ("mixed.yaml", 17)
    assert source[9].captions == first[9].captions
    assert source[10].captions == second[0].captions
    assert len({source[index].key for index in range(17)}) == 17
    assert source[10].key == f"{second.name} (2): {second[0].key}"
    with pytest.raises(IndexError, match=r"mixed\.yaml has 17 samples, no number 17"):
        source[17]


def test_each_cycle_has_the_exact_numbers_and_each_source_its_own_epochs(file: Path):
    order = keyed_order(open_source(f"mixture:{file}"), seed=3)
    assert isinstance(order, MixtureOrder)
    assert order.nums_per_cycle == (192, 64)
    whole = order.positions(0, 1024)
    for cycle in range(4):
        drawn = whole[256 * cycle : 256 * (cycle + 1)]
        assert Counter(index < 10 for _, index in drawn) == {True: 192, False: 64}
    first = Counter(sample for sample in whole if sample[1] < 10)
    second = Counter(sample for sample in whole if sample[1] >= 10)
    assert set(first.values()) == set(second.values()) == {1}
    assert {(epoch, index) for epoch in range(768 // 10) for index in range(10)} <= set(first)
    assert {(epoch, index) for epoch in range(256 // 7) for index in range(10, 17)} <= set(second)
    assert [
        sample for start in range(0, 1024, 100) for sample in order.positions(start, min(100, 1024 - start))
    ] == whole
    starts = [[index < 10 for _, index in whole[256 * cycle : 256 * cycle + 64]] for cycle in range(2)]
    assert starts[0] != starts[1]


def test_batches_with_shards_are_in_the_order_of_storage():
    parts = (KeyedOrder(seed=1, num_samples=30, block_size=4, window_size=8), KeyedOrder(seed=2, num_samples=20))
    order = MixtureOrder(seed=0, parts=parts, nums_per_cycle=(2, 1))
    batch = order.positions(5, 24)
    assert [index for _, index in batch] == sorted(index for _, index in batch)
    assert sorted(order.positions(0, 5) + batch) == sorted(order.positions(0, 29))


@pytest.mark.parametrize(
    ("weights", "numbers"),
    [
        ((1, 1), (128, 128)),
        ((0.7, 0.3), (182, 78)),
        ((1, 1, 1), (86, 86, 86)),
        ((12345.67, 89.1), (9928, 72)),
    ],
)
def test_a_cycle_has_exact_numbers_where_it_can(tmp_path: Path, weights: tuple[float, ...], numbers: tuple[int, ...]):
    path = tmp_path / "mixed.yaml"
    lines = [f"  - {{data: 'scenes:?count=2&size=16&seed={n}', weight: {weight}}}" for n, weight in enumerate(weights)]
    path.write_text("\n".join(["sources:", *lines]), encoding="utf-8")
    source = open_source(f"mixture:{path}")
    assert isinstance(source, MixedSource)
    assert tuple(part.num_per_cycle for part in source.parts) == numbers


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"mixed\.yaml must be a mapping of keys to values, got nothing"),
        ("sources: []", r"sources is empty; list at least one, with data and weight"),
        ("source: []", r"mixed\.yaml\.source is not a known key; did you mean 'sources'\?"),
        ("sources: {data: x}", r"mixed\.yaml\.sources must be a list"),
        ("sources: [{data: 'scenes:'}]", r"mixed\.yaml\.sources\[0\]\.weight is missing and has no default"),
        ("sources: [{data: 'scenes:', wieght: 1}]", r"sources\[0\]\.wieght is not a known key; did you mean 'weight'"),
        ("sources: [{data: 'scenes:', weight: 0}]", r"sources\[0\]: weight must be a number above 0, got 0;"),
        ("sources: [{data: 'scenes:', weight: .nan}]", r"sources\[0\]: weight must be a number above 0, got nan;"),
        ("sources: [{data: nothing.csv, weight: 1}]", r"mixed\.yaml\.sources\[0\]: there is no file 'nothing\.csv'"),
        ("sources: [{data: 'mixture:x.yaml', weight: 1}]", r"sources\[0\]: a mixture cannot hold another one"),
        (
            "sources: [{data: 'scenes:?count=2', weight: 1}, {data: 'scenes:?count=2', weight: 1e-9}]",
            r"sources\[1\]: weight 1e-09 is less than one sample in 10,000",
        ),
    ],
)
def test_wrong_files_are_named_with_the_entry(tmp_path: Path, content: str, message: str):
    path = tmp_path / "mixed.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        open_source(f"mixture:{path}")


def test_the_order_of_older_runs_has_no_mixtures(file: Path):
    with pytest.raises(ValueError, match=r"mixed\.yaml is a mixture, which data\.order table cannot draw from"):
        table_order(open_source(f"mixture:{file}"), seed=0)


def test_options_belong_to_the_sources(file: Path):
    with pytest.raises(ValueError, match=r"mixture has no options; give limit to the sources in its file"):
        open_source(f"mixture:{file}?limit=3")
