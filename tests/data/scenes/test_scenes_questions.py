import re

import pytest

from sycoca.data.scenes.content import Scene, SceneObject
from sycoca.data.scenes.layout import draw_scene
from sycoca.data.scenes.questions import questions_of


def answer_slowly(question: str, scene: Scene) -> str:
    """Answer by looking at every object; fails where more than one answer would do."""
    things = scene.objects
    if found := re.fullmatch(r"what color is the (\w+)\?", question):
        (answer,) = [thing.color for thing in things if thing.shape == found[1]]
    elif found := re.fullmatch(r"what shape is the (\w+) object\?", question):
        (answer,) = [thing.shape for thing in things if thing.color == found[1]]
    elif found := re.fullmatch(r"is there (a|an) (\w+) (\w+)\?", question):
        assert (found[1] == "an") == (found[2] == "orange")
        answer = "yes" if any((thing.color, thing.shape) == found.group(2, 3) for thing in things) else "no"
    elif question == "how many objects are there?":
        answer = str(len(things))
    else:
        found = re.fullmatch(r"what is (left of|right of|above|below) the (\w+) (\w+)\?", question)
        assert found is not None
        (place,) = [thing for thing in things if (thing.color, thing.shape) == found.group(2, 3)]
        axis, sign = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}[found[1]]
        offsets = {thing.label: sign * (thing.center[axis] - place.center[axis]) for thing in things}
        (answer,) = [label for label, offset in offsets.items() if offset > 0]
        assert offsets[answer] >= 1 / 6
    return answer


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_every_answer_is_the_only_right_one(level):
    kinds = set()
    for index in range(60):
        scene = draw_scene(level, "train", 0, index)
        questions = questions_of(scene)
        assert len({entry.question for entry in questions}) == len(questions)
        for entry in questions:
            assert entry.answers == (answer_slowly(entry.question, scene),)
            kinds.add(" ".join(entry.question.split()[:3]))
    assert {
        "what color is",
        "what shape is",
        "is there a",
        "how many objects",
        "what is left",
        "what is below",
    } <= kinds


def test_asks_for_what_is_there_and_for_what_is_almost_there():
    scene = draw_scene("hard", "train", 0, 0)
    asked = {entry.answers[0]: entry.question for entry in questions_of(scene) if entry.question.startswith("is there")}
    assert set(asked) == {"yes", "no"}
    color, shape = asked["no"].removesuffix("?").split()[-2:]
    assert color in {thing.color for thing in scene.objects} or shape in {thing.shape for thing in scene.objects}


def test_asks_nothing_that_has_two_answers():
    def thing(x: float, shape) -> SceneObject:
        return SceneObject(color="red", shape=shape, size="small", center=(x, 0.5), radius=0.1)

    scene = Scene(level="medium", objects=(thing(0.1, "circle"), thing(0.5, "star"), thing(0.9, "ring")), draw_key=0)
    questions = {entry.question for entry in questions_of(scene)}
    assert not any(question.startswith("what shape is the red") for question in questions)
    assert "what is right of the red circle?" not in questions
    assert "what is left of the red star?" in questions
    near = (thing(0.1, "circle"), thing(0.5, "star"), thing(0.42, "ring"))
    questions = {entry.question for entry in questions_of(Scene(level="medium", objects=near, draw_key=0))}
    assert "what is left of the red star?" not in questions
