"""Content of a scene: objects, relations, and the split that the content belongs to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sycoca.randomness import derive_key

Level = Literal["easy", "medium", "hard"]
Split = Literal["train", "validation", "test"]
Color = Literal["red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "black", "white"]
Shape = Literal["circle", "square", "triangle", "cross", "star", "ring", "diamond", "heart"]
Size = Literal["large", "medium", "small"]
Relation = Literal["left of", "right of", "above", "below"]

COLORS: dict[Level, tuple[Color, ...]] = {
    "easy": ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink"),
    "medium": ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink"),
    "hard": ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "black", "white"),
}
"""The colors of each level's objects."""

SHAPES: dict[Level, tuple[Shape, ...]] = {
    "easy": ("circle", "square", "triangle", "cross"),
    "medium": ("circle", "square", "triangle", "cross", "star", "ring", "diamond"),
    "hard": ("circle", "square", "triangle", "cross", "star", "ring", "diamond", "heart"),
}
"""The shapes of each level's objects."""

RELATIONS: tuple[Relation, ...] = ("left of", "right of", "above", "below")
"""Spatial relations of two objects."""

CLEAR_OFFSET = 1 / 6
"""Least distance of two centers along an axis for a relation to hold, as a fraction of the image's side."""

NUM_HELD_OUT_PARTS = 1
NUM_PARTS = 8
"""One eighth of all contents belongs to validation, one to test, the rest to training."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneObject:
    """One colored shape."""

    color: Color
    shape: Shape
    size: Size
    """Size class; its range of radii depends on the level."""

    center: tuple[float, float]
    """Horizontal and vertical position, as fractions of the image's side."""

    radius: float
    """Half the side of its bounding square before rotation, as a fraction of the image's side."""

    angle: float = 0.0
    """Clockwise rotation in radians."""

    @property
    def label(self) -> str:
        """Color and shape."""
        return f"{self.color} {self.shape}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """Shapes over a textured background."""

    level: Level
    objects: tuple[SceneObject, ...]
    """The objects that captions may name, largest radius first; no two share both color and shape, and none
    touches another."""

    draw_key: int
    """Seed of everything else that is random in the scene: its texture and its captions' wording."""

    distractors: tuple[SceneObject, ...] = ()
    """Further objects, which no caption names; they share neither color nor shape with any other object."""

    @property
    def all_objects(self) -> tuple[SceneObject, ...]:
        """The objects and the distractors."""
        return (*self.objects, *self.distractors)

    @property
    def label(self) -> str:
        """Color and shape of the largest object."""
        return self.objects[0].label

    @property
    def content(self) -> str:
        """All facts that captions could state: sizes, colors and shapes, largest first, and every clear relation."""
        pairs = [(a, b) for i, a in enumerate(self.objects) for b in self.objects[i + 1 :]]
        names = [f"{thing.size} {thing.label}" for thing in self.objects]
        return describe_content(names, [relations_between(a, b) for a, b in pairs])


def relations_between(first: SceneObject, second: SceneObject) -> tuple[Relation, ...]:
    """Return the clear relations of the first object to the second, the horizontal one first."""
    across, down = (a - b for a, b in zip(first.center, second.center, strict=True))
    found: list[Relation] = []
    if abs(across) >= CLEAR_OFFSET:
        found.append("left of" if across < 0 else "right of")
    if abs(down) >= CLEAR_OFFSET:
        found.append("above" if down < 0 else "below")
    return tuple(found)


def describe_content(names: Sequence[str], relations: Sequence[Sequence[Relation]]) -> str:
    """Return the content of a scene as text, from its objects' names and the relations of each pair."""
    return "; ".join([*names, *(" and ".join(pair) for pair in relations)])


def split_of_content(content: str) -> Split:
    """Return the only split in which this content may occur, whatever the seed."""
    part = derive_key(0, f"split of {content}") % NUM_PARTS
    if part < NUM_HELD_OUT_PARTS:
        return "validation"
    return "test" if part < 2 * NUM_HELD_OUT_PARTS else "train"
