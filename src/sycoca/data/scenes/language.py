"""The scenes' language: one grammar generates and parses captions, whose facts are compared with the scene.

caption = ["there is" | "a picture of"] thing ["is"] relation thing; thing = a|an [size] color shape;
relation = ["to the"] "left of" | ["to the"] "right of" | "above" | "below", or two of them joined by "and".
A caption may also name one thing only.
"""

import itertools
import random
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast, get_args

from sycoca.data.scenes.content import Color, Level, Relation, Scene, SceneObject, Shape, Size, relations_between
from sycoca.randomness import derive_key

NUM_PHRASINGS = 4
"""Number of phrasings of the same facts."""

_HORIZONTAL = ("left of", "right of")
_THING = rf"an? (?:({'|'.join(get_args(Size))}) )?({'|'.join(get_args(Color))}) ({'|'.join(get_args(Shape))})"
_RELATION = r"(?:to the )?(left of|right of|above|below)"
_CAPTION = re.compile(
    rf"(?:there is |a picture of )?{_THING}(?: (?:is )?{_RELATION}(?: and {_RELATION})? {_THING})?"
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class ThingFacts:
    """The facts of a caption about one object."""

    color: Color
    shape: Shape
    size: Size | None = None
    """None where the caption does not state it."""

    @property
    def label(self) -> str:
        """Color and shape."""
        return f"{self.color} {self.shape}"


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionFacts:
    """The facts of a caption."""

    first: ThingFacts
    """The object named first: the largest, in a scene's own captions."""

    relations: tuple[Relation, ...] = ()
    """Relations of the first object to the second."""

    second: ThingFacts | None = None
    """The other object; None where only one is named."""

    @property
    def things(self) -> tuple[ThingFacts, ...]:
        """The named objects, in order."""
        return (self.first,) if self.second is None else (self.first, self.second)


def write_caption(facts: CaptionFacts, phrasing: int) -> str:
    """Return the facts as a caption, in one of ``NUM_PHRASINGS`` phrasings."""
    first = _name_thing(facts.first)
    if facts.second is None:
        return first
    long_form = phrasing % NUM_PHRASINGS == 1
    relation = " and ".join(_name_relation(relation, long_form) for relation in facts.relations)
    second = _name_thing(facts.second)
    return (
        f"{first} {relation} {second}",
        f"there is {first} {relation} {second}",
        f"{first} is {relation} {second}",
        f"a picture of {first} {relation} {second}",
    )[phrasing % NUM_PHRASINGS]


def parse_caption(text: str) -> CaptionFacts | None:
    """Parse a caption; None where it is not in the grammar."""
    found = _CAPTION.fullmatch(" ".join(text.lower().split()).removesuffix(".").rstrip())
    if found is None:
        return None
    size, color, shape, relation, other_relation, *second = found.groups()
    relations: tuple[Relation, ...] = tuple(
        cast(Relation, part) for part in (relation, other_relation) if part is not None
    )
    return CaptionFacts(
        first=_read_thing(size, color, shape),
        relations=relations,
        second=_read_thing(*second) if relations else None,
    )


def num_facts(facts: CaptionFacts) -> int:
    """Return the number of facts: colors, shapes, sizes, relations."""
    return sum(2 + (thing.size is not None) for thing in facts.things) + len(set(facts.relations))


def is_true(facts: CaptionFacts, scene: Scene) -> bool:
    """Return whether different objects of the scene can be found for which every stated fact holds."""
    choices = [[thing for thing in scene.all_objects if _fits(stated, thing)] for stated in facts.things]
    if len(choices) == 1:
        return bool(choices[0])
    return any(
        first is not second and set(facts.relations) <= set(relations_between(first, second))
        for first, second in itertools.product(*choices)
    )


def facts_of(scene: Scene) -> tuple[CaptionFacts, ...]:
    """Return the facts of each of the scene's captions; every caption names the largest object first."""
    rng = random.Random(derive_key(scene.draw_key, "captions"))
    largest, *others = scene.objects
    rng.shuffle(others)
    return tuple(_pick_facts(scene, largest, others[i % len(others)], rng) for i in range(NUM_PHRASINGS))


def captions_of(scene: Scene) -> tuple[str, ...]:
    """Return the scene's captions, one per phrasing, all true."""
    return tuple(write_caption(facts, phrasing) for phrasing, facts in enumerate(facts_of(scene)))


def named_objects(facts: CaptionFacts, scene: Scene) -> list[int]:
    """Return which objects of the scene its own caption names."""
    named = [thing.label for thing in facts.things]
    return [i for i, thing in enumerate(scene.objects) if thing.label in named]


def ceiling_text_to_image(scenes: Sequence[Scene], captions: Sequence[str]) -> float:
    """Return the expected R@1 of ranking images by whether the caption is true of them, ties shared.

    Caption i belongs to scene i; each must parse. No model can know more than the truth.
    """
    having: dict[str, list[int]] = defaultdict(list)
    for i, scene in enumerate(scenes):
        for thing in scene.all_objects:
            having[thing.label].append(i)
    truth = [_parse_own(caption) for caption in captions]
    return _shared_recall([[i for i in having[facts.first.label] if is_true(facts, scenes[i])] for facts in truth])


def color_only_text_to_image(scenes: Sequence[Scene], captions: Sequence[str]) -> float:
    """Return the R@1 of the color-only baseline, ties shared.

    A scene fits where its largest object has the first color and another object the second one.
    """
    starting: dict[Color, list[int]] = defaultdict(list)
    for i, scene in enumerate(scenes):
        starting[scene.objects[0].color].append(i)
    truth = [_parse_own(caption) for caption in captions]
    return _shared_recall(
        [[i for i in starting[facts.first.color] if _has_second_color(facts, scenes[i])] for facts in truth]
    )


def most_frequent_caption_truth(scenes: Sequence[Scene], captions: Sequence[str]) -> float:
    """Return the fraction of scenes of which the most frequent caption is true."""
    caption, _ = Counter(captions).most_common(1)[0]
    facts = _parse_own(caption)
    return sum(is_true(facts, scene) for scene in scenes) / len(scenes)


_BOTH_RELATIONS: Mapping[Level, float] = {"easy": 0.0, "medium": 0.0, "hard": 0.7}
"""Probability that a caption states both relations that hold, by level."""

_SIZE: Mapping[Level, float] = {"easy": 0.0, "medium": 0.4, "hard": 0.7}
"""Probability that a caption names an object's size, by level."""


def _pick_facts(scene: Scene, first: SceneObject, second: SceneObject, rng: random.Random) -> CaptionFacts:
    """Easy states one relation, medium sometimes a size, hard mostly sizes and both relations."""
    found = relations_between(first, second)
    both_chance = _BOTH_RELATIONS[scene.level]
    # Levels that never state both draw no number here, so that their captions do not change.
    states_both = both_chance > 0 and rng.random() < both_chance
    relations = found if states_both else (rng.choice(found),)
    size_chance = _SIZE[scene.level]
    return CaptionFacts(
        first=_pick_thing(first, rng.random() < size_chance),
        relations=relations,
        second=_pick_thing(second, rng.random() < size_chance),
    )


def _pick_thing(thing: SceneObject, names_size: bool) -> ThingFacts:
    return ThingFacts(color=thing.color, shape=thing.shape, size=thing.size if names_size else None)


def _read_thing(size: str | None, color: str | None, shape: str | None) -> ThingFacts:
    return ThingFacts(size=cast(Size | None, size), color=cast(Color, color), shape=cast(Shape, shape))


def _name_thing(thing: ThingFacts) -> str:
    words = [thing.color, thing.shape] if thing.size is None else [thing.size, thing.color, thing.shape]
    return with_article(" ".join(words))


def with_article(words: str) -> str:
    """Return "a" or "an" before the words."""
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def _name_relation(relation: Relation, long_form: bool) -> str:
    return f"to the {relation}" if long_form and relation in _HORIZONTAL else relation


def _fits(stated: ThingFacts, thing: SceneObject) -> bool:
    return stated.label == thing.label and stated.size in (None, thing.size)


def _has_second_color(facts: CaptionFacts, scene: Scene) -> bool:
    return facts.second is None or any(thing.color == facts.second.color for thing in scene.objects[1:])


def _shared_recall(fitting: list[list[int]]) -> float:
    """Return the mean over captions of the chance to pick the right scene, number i, among all that fit."""
    return sum(1 / len(found) for i, found in enumerate(fitting) if i in found) / len(fitting)


def _parse_own(caption: str) -> CaptionFacts:
    facts = parse_caption(caption)
    if facts is None:
        raise ValueError(f"not a caption of the scenes: {caption!r}")
    return facts
