import pytest

from sycoca.data import selection
from sycoca.data.scenes.source import ScenesSource
from sycoca.data.selection import select, spread_if_large

LETTERS = list("abcdefghijklmnopqrstuvwxyz")


def test_without_a_limit_everything_is_taken():
    assert select(LETTERS, None, 3) == LETTERS
    assert select(LETTERS, 26, 3) == LETTERS
    assert select(LETTERS, 99, None) == LETTERS


def test_without_a_seed_the_first_are_taken():
    assert select(LETTERS, 3, None) == ["a", "b", "c"]


def test_a_seed_takes_others_in_their_order():
    choices = [select(LETTERS, 5, seed) for seed in range(20)]
    assert all(choice == sorted(choice) and len(set(choice)) == 5 for choice in choices)
    assert select(LETTERS, 5, 0) == choices[0]
    assert {letter for choice in choices for letter in choice} == set(LETTERS)


def test_a_large_source_is_read_in_part(monkeypatch: pytest.MonkeyPatch):
    source = ScenesSource(count=12)
    assert spread_if_large(source, 3) is source
    monkeypatch.setattr(selection, "LARGE_SOURCE", 11)
    read = spread_if_large(source, 3)
    assert [read[index].key for index in range(len(read))] == [source[index].key for index in (0, 4, 8)]
    assert read.name == source.name
    assert spread_if_large(source, 12) is source
