"""Questions about scenes, with answers that are unambiguous by construction."""

import random

from sycoca.data.samples import Question
from sycoca.data.scenes.content import COLORS, SHAPES, Relation, Scene, SceneObject, relations_between
from sycoca.data.scenes.language import with_article
from sycoca.randomness import derive_key

_QUESTION_OF: dict[Relation, str] = {
    "left of": "what is left of the {}?",
    "right of": "what is right of the {}?",
    "above": "what is above the {}?",
    "below": "what is below the {}?",
}


def questions_of(scene: Scene) -> tuple[Question, ...]:
    """Return the questions about the scene."""
    rng = random.Random(derive_key(scene.draw_key, "questions"))
    return (
        *_color_questions(scene),
        *_shape_questions(scene),
        *_existence_questions(scene, rng),
        Question(question="how many objects are there?", answers=(str(len(scene.objects)),)),
        *_place_questions(scene),
    )


def _color_questions(scene: Scene) -> list[Question]:
    shapes = [thing.shape for thing in scene.objects]
    return [
        Question(question=f"what color is the {thing.shape}?", answers=(thing.color,))
        for thing in scene.objects
        if shapes.count(thing.shape) == 1
    ]


def _shape_questions(scene: Scene) -> list[Question]:
    colors = [thing.color for thing in scene.objects]
    return [
        Question(question=f"what shape is the {thing.color} object?", answers=(thing.shape,))
        for thing in scene.objects
        if colors.count(thing.color) == 1
    ]


def _existence_questions(scene: Scene, rng: random.Random) -> list[Question]:
    """Yes for an object of the scene; no for one that shares only its color or shape with an object."""
    present = [thing.label for thing in scene.objects]
    thing = rng.choice(scene.objects)
    near_misses = [f"{thing.color} {shape}" for shape in SHAPES[scene.level]]
    near_misses += [f"{color} {thing.shape}" for color in COLORS[scene.level]]
    absent = rng.choice([label for label in near_misses if label not in present])
    return [
        Question(question=f"is there {with_article(label)}?", answers=(answer,))
        for label, answer in ((rng.choice(present), "yes"), (absent, "no"))
    ]


def _place_questions(scene: Scene) -> list[Question]:
    """Which object is on a side of another, where one clearly is and no other may be."""
    asked = []
    for place in scene.objects:
        others = [thing for thing in scene.objects if thing is not place]
        relations = [relations_between(thing, place) for thing in others]
        for relation, question in _QUESTION_OF.items():
            clear = [thing for thing, found in zip(others, relations, strict=True) if relation in found]
            if len(clear) != 1:
                continue
            possible = [thing for thing in others if _offset(thing, place, relation) > 0]
            if possible == clear:
                asked.append(Question(question=question.format(place.label), answers=(clear[0].label,)))
    return asked


def _offset(thing: SceneObject, place: SceneObject, relation: Relation) -> float:
    """Return how far the object is on that side of the other; a small distance is neither yes nor no."""
    across, down = (a - b for a, b in zip(thing.center, place.center, strict=True))
    return {"left of": -across, "right of": across, "above": -down, "below": down}[relation]
