"""The built-in scenes as a source, generated from a seed."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import final, get_args

import numpy as np
from jaxtyping import Bool
from PIL import Image

from sycoca.data.choices import check_choice
from sycoca.data.samples import ImageTextSample, NamedPixels, source_repr
from sycoca.data.scenes.content import Level, Scene, Split
from sycoca.data.scenes.language import captions_of, facts_of, named_objects
from sycoca.data.scenes.layout import draw_scene, with_distractor
from sycoca.data.scenes.questions import questions_of
from sycoca.data.scenes.render import object_masks, render

DEFAULT_COUNT = 2000
"""Default number of scenes."""

MOST_DISTRACTORS: Mapping[Level, int] = {"easy": 1, "medium": 0, "hard": 0}
"""Maximum number of objects that no caption names, beside those that a caption leaves out anyway."""


@final
class ScenesSource:
    """Scenes of one level and split: captions, questions, labels and the described pixels.

    The content of a scene determines its split, so held-out content does not occur in training with any seed.
    """

    def __init__(
        self,
        *,
        level: Level = "easy",
        count: int = DEFAULT_COUNT,
        seed: int = 0,
        split: Split = "train",
        size: int = 64,
        distractors: int = 0,
    ) -> None:
        check_choice("scenes: level", level, get_args(Level))
        check_choice("scenes: split", split, get_args(Split))
        if count < 1:
            raise ValueError(f"scenes: count must be at least 1, got {count}")
        if size < 16:
            raise ValueError(f"scenes: size must be at least 16 pixels, got {size}")
        if not 0 <= distractors <= MOST_DISTRACTORS[level]:
            raise ValueError(
                f"scenes: distractors must be 0, or 1 at level easy, got {distractors} at level {level}; scenes of the"
                " other levels have objects that a caption does not name anyway"
            )
        self.level: Level = level
        self.count = count
        self.seed = seed
        self.split: Split = split
        self.size = size
        self.distractors = distractors

    @property
    def name(self) -> str:
        """Level and split."""
        return f"scenes-{self.level}-{self.split}{'-distractor' if self.distractors else ''}"

    def __repr__(self) -> str:
        return source_repr(self)

    def __len__(self) -> int:
        return self.count

    def scene(self, index: int) -> Scene:
        """Return the scene of sample number ``index``."""
        if not 0 <= index < self.count:
            raise IndexError(f"{self.name} has scenes 0 to {self.count - 1}, not {index}")
        scene = draw_scene(self.level, self.split, self.seed, index)
        return with_distractor(scene) if self.distractors else scene

    def __getitem__(self, index: int) -> ImageTextSample:
        scene = self.scene(index)
        return ImageTextSample(
            key=f"{self.name}-{self.seed}-{index:06d}",
            captions=captions_of(scene),
            open_image=SceneImage(scene, self.size),
            label=scene.label,
            # Questions count and locate all objects, and are written for scenes without distractors.
            questions=() if scene.distractors else questions_of(scene),
            described_pixels=partial(described_pixels, scene, self.size),
            named_objects=partial(objects_named_by, scene, self.size),
            object_pixels=partial(object_pixels, scene, self.size),
        )


@final
@dataclass(frozen=True, slots=True)
class SceneImage:
    """Renders a scene at a given size in pixels."""

    scene: Scene
    size: int

    def __call__(self, smallest_side: int | None = None, /) -> Image.Image:
        """Return the image, always at full size, since rendering is cheap."""
        del smallest_side
        return Image.fromarray(render(self.scene, self.size))


def described_pixels(scene: Scene, size: int, place: int) -> Bool[np.ndarray, "height width"]:
    """Return the pixels of the objects that caption number ``place`` of the scene names."""
    named = named_objects(facts_of(scene)[place], scene)
    return np.logical_or.reduce(object_masks(scene, size)[named])


def objects_named_by(scene: Scene, size: int, number: int) -> list[NamedPixels]:
    """Return the objects that caption number ``number`` of the scene names, each with its pixels."""
    masks = dict(zip((thing.label for thing in scene.objects), object_masks(scene, size), strict=False))
    return [NamedPixels(name=thing.label, pixels=masks[thing.label]) for thing in facts_of(scene)[number].things]


def object_pixels(scene: Scene, size: int) -> Bool[np.ndarray, "height width"]:
    """Return the pixels of all objects, described or not."""
    return np.logical_or.reduce(object_masks(scene, size))
