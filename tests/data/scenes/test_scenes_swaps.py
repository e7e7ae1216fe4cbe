import pytest

from sycoca.data.scenes.language import CaptionFacts, facts_of, is_true, parse_caption, write_caption
from sycoca.data.scenes.source import ScenesSource
from sycoca.data.scenes.swaps import SWAP_KINDS, SwapKind, false_swaps, swapped


def facts(caption: str) -> CaptionFacts:
    found = parse_caption(caption)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("colors", "a blue circle left of a red square"),
        ("shapes", "a red square left of a blue circle"),
        ("relation", "a red circle right of a blue square"),
    ],
)
def test_what_is_exchanged(kind: SwapKind, expected: str):
    assert write_caption(swapped(facts("a red circle left of a blue square"), kind), 0) == expected


def test_both_relations_turn_into_their_opposites():
    both = facts("a large red circle left of and above a blue square")
    assert write_caption(swapped(both, "relation"), 0) == "a large red circle right of and below a blue square"


def test_nothing_to_exchange_in_a_single_thing():
    assert swapped(facts("a red circle"), "colors") == facts("a red circle")


def test_only_false_swaps_that_say_something_else_are_kept():
    source = ScenesSource(level="easy", count=200, split="test")
    num_kept = num_same = num_true = 0
    for index in range(len(source)):
        scene = source.scene(index)
        for own in facts_of(scene):
            kept = false_swaps(own, scene)
            for kind in SWAP_KINDS:
                swap = swapped(own, kind)
                assert (kind in kept) == (swap != own and not is_true(swap, scene))
                num_kept += kind in kept
                num_same += swap == own
                num_true += swap != own and is_true(swap, scene)
    assert num_kept > 1800
    assert num_same > 0
    assert num_true >= 0
