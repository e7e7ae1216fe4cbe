"""Hard negatives: captions of scenes with two parts exchanged, the same words with another meaning."""

from dataclasses import replace
from typing import Literal, assert_never, get_args

from sycoca.data.scenes.content import Relation, Scene
from sycoca.data.scenes.language import CaptionFacts, is_true

SwapKind = Literal["colors", "shapes", "relation"]
"""The exchanged part: the colors of both objects, their shapes, or the relation, replaced by its opposite."""

SWAP_KINDS: tuple[SwapKind, ...] = get_args(SwapKind)

_OPPOSITE: dict[Relation, Relation] = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
}


def false_swaps(facts: CaptionFacts, scene: Scene) -> dict[SwapKind, CaptionFacts]:
    """Return every swap of a scene's caption that has another meaning and is false for the scene.

    Two objects of one color have no colors to exchange, and a scene may hold both a red circle and a red square.
    """
    found: dict[SwapKind, CaptionFacts] = {kind: swapped(facts, kind) for kind in SWAP_KINDS}
    return {kind: swap for kind, swap in found.items() if swap != facts and not is_true(swap, scene)}


def swapped(facts: CaptionFacts, kind: SwapKind) -> CaptionFacts:
    """Return the facts with two parts exchanged; unchanged where only one object is named."""
    first, second = facts.first, facts.second
    if second is None:
        return facts
    match kind:
        case "colors":
            first, second = replace(first, color=second.color), replace(second, color=first.color)
        case "shapes":
            first, second = replace(first, shape=second.shape), replace(second, shape=first.shape)
        case "relation":
            return replace(facts, relations=tuple(_OPPOSITE[relation] for relation in facts.relations))
        case unknown:
            assert_never(unknown)
    return replace(facts, first=first, second=second)
