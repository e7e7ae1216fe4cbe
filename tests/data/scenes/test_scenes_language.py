import itertools

import pytest

from sycoca.data.scenes.content import Scene, SceneObject
from sycoca.data.scenes.language import (
    NUM_PHRASINGS,
    CaptionFacts,
    ThingFacts,
    captions_of,
    ceiling_text_to_image,
    color_only_text_to_image,
    facts_of,
    is_true,
    most_frequent_caption_truth,
    named_objects,
    num_facts,
    parse_caption,
    write_caption,
)
from sycoca.data.scenes.layout import draw_scene

RED_CIRCLE = ThingFacts(color="red", shape="circle")
BLUE_SQUARE = ThingFacts(color="blue", shape="square")


def thing(x: float, y: float, label: str, size="small") -> SceneObject:
    color, shape = label.split()
    return SceneObject(color=color, shape=shape, size=size, center=(x, y), radius=0.1)


def scene_of(*objects: SceneObject) -> Scene:
    return Scene(level="easy", objects=objects, draw_key=0)


LEFT = scene_of(thing(0.2, 0.5, "red circle", "large"), thing(0.8, 0.5, "blue square"))
RIGHT = scene_of(thing(0.8, 0.5, "red circle", "large"), thing(0.2, 0.5, "blue square"))
GREEN = scene_of(thing(0.2, 0.2, "red circle", "large"), thing(0.8, 0.8, "green square"))


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_what_is_written_is_read_back(level):
    for index in range(40):
        facts = facts_of(draw_scene(level, "train", 0, index))
        for phrasing, each in itertools.product(range(NUM_PHRASINGS), facts):
            assert parse_caption(write_caption(each, phrasing)) == each


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_every_caption_is_true_and_names_the_largest_object_first(level):
    for index in range(40):
        scene = draw_scene(level, "test", 3, index)
        captions = captions_of(scene)
        assert len(set(captions)) == NUM_PHRASINGS
        for facts, caption in zip(facts_of(scene), captions, strict=True):
            assert parse_caption(caption) == facts
            assert is_true(facts, scene)
            assert facts.first.label == scene.label
            assert facts.relations
            assert len(named_objects(facts, scene)) == 2


def test_levels_differ_in_what_they_state():
    stated = {
        level: [facts for index in range(60) for facts in facts_of(draw_scene(level, "train", 0, index))]
        for level in ("easy", "medium", "hard")
    }
    num_sizes = {
        level: sum(part.size is not None for facts in found for part in facts.things) / len(found)
        for level, found in stated.items()
    }
    assert num_sizes["easy"] == 0
    assert 0.5 < num_sizes["medium"] < 1.1
    assert 1.1 < num_sizes["hard"] < 1.7
    num_relations = {level: max(len(facts.relations) for facts in found) for level, found in stated.items()}
    assert num_relations == {"easy": 1, "medium": 1, "hard": 2}


@pytest.mark.parametrize("level", ["medium", "hard"])
def test_captions_leave_a_distractor_out_but_not_always_the_same(level):
    for index in range(20):
        scene = draw_scene(level, "train", 0, index)
        named = {tuple(named_objects(facts, scene)) for facts in facts_of(scene)}
        assert named == {(0, 1), (0, 2)}


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        (
            "a red circle left of a blue square",
            CaptionFacts(first=RED_CIRCLE, relations=("left of",), second=BLUE_SQUARE),
        ),
        (
            "There is a red circle to the left of a blue square.",
            CaptionFacts(first=RED_CIRCLE, relations=("left of",), second=BLUE_SQUARE),
        ),
        (
            "a red  circle is above a blue square",
            CaptionFacts(first=RED_CIRCLE, relations=("above",), second=BLUE_SQUARE),
        ),
        (
            "a picture of a red circle right of and below a blue square",
            CaptionFacts(first=RED_CIRCLE, relations=("right of", "below"), second=BLUE_SQUARE),
        ),
        ("a red circle", CaptionFacts(first=RED_CIRCLE)),
    ],
    ids=str,
)
def test_reads_sentences_by_hand(text, facts):
    assert parse_caption(text) == facts


def test_reads_sizes():
    facts = parse_caption("a large orange ring below a small cyan heart")
    assert facts is not None
    assert facts.first == ThingFacts(color="orange", shape="ring", size="large")
    assert facts.second == ThingFacts(color="cyan", shape="heart", size="small")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "red circle left of a blue square",
        "a red circle left of a blue",
        "a red circle a blue square",
        "a red circle left a blue square",
        "a circle left of a blue square",
        "a red blue circle left of a blue square",
        "a red circle left of a blue square left of a green cross",
        "a red circle left of and a blue square",
        "a gray circle above a blue square",
        "two dogs play in the snow",
    ],
)
def test_other_sentences_are_not_understood(text):
    assert parse_caption(text) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("a red circle", 2),
        ("a large red circle", 3),
        ("a red circle left of a blue square", 5),
        ("a large red circle left of and above a small blue square", 8),
        ("a red circle above and above a blue square", 5),
    ],
)
def test_counts_colors_shapes_sizes_and_relations(text, number):
    facts = parse_caption(text)
    assert facts is not None
    assert num_facts(facts) == number


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("a red circle left of a blue square", True),
        ("a blue square right of a red circle", True),
        ("a red circle", True),
        ("a large red circle left of a small blue square", True),
        ("a red circle right of a blue square", False),
        ("a red circle above a blue square", False),
        ("a red circle left of and above a blue square", False),
        ("a small red circle", False),
        ("a red square", False),
        ("a red circle left of a green square", False),
        ("a red circle left of a red circle", False),
    ],
)
def test_truth_worked_by_hand(text, truth):
    facts = parse_caption(text)
    assert facts is not None
    assert is_true(facts, LEFT) == truth


def test_two_named_things_are_two_objects():
    assert not is_true(CaptionFacts(first=RED_CIRCLE, second=RED_CIRCLE), LEFT)


def test_truth_tries_every_pair_of_objects():
    scene = scene_of(
        thing(0.5, 0.2, "red circle", "large"), thing(0.5, 0.5, "red circle"), thing(0.5, 0.9, "blue square")
    )
    facts = parse_caption("a small red circle below a red circle")
    assert facts is not None
    assert is_true(facts, scene)


def test_the_ceiling_shares_ties():
    scenes = [LEFT, LEFT, RIGHT, GREEN]
    captions = ["a red circle left of a blue square"] * 2 + [
        "a red circle right of a blue square",
        "a red circle",
    ]
    assert ceiling_text_to_image(scenes, captions) == pytest.approx((1 / 2 + 1 / 2 + 1 + 1 / 4) / 4)


def test_color_only_ranking_knows_no_shapes_and_no_relations():
    swapped = scene_of(thing(0.2, 0.5, "blue circle", "large"), thing(0.8, 0.5, "red square"))
    scenes = [LEFT, RIGHT, GREEN, swapped]
    captions = [
        "a red circle left of a blue square",
        "a red circle right of a blue square",
        "a red circle left of a green square",
        "a blue circle left of a red square",
    ]
    assert color_only_text_to_image(scenes, captions) == pytest.approx((1 / 2 + 1 / 2 + 1 + 1) / 4)


def test_a_caption_that_is_false_of_its_own_scene_is_never_a_hit():
    assert ceiling_text_to_image([LEFT, RIGHT], ["a red circle above a blue square"] * 2) == 0


def test_the_most_frequent_caption_is_right_where_it_happens_to_be():
    captions = ["a red circle left of a blue square"] * 2 + ["a red circle left of a green square"]
    assert most_frequent_caption_truth([LEFT, RIGHT, GREEN], captions) == pytest.approx(1 / 3)


def test_easy_held_out_scenes_can_be_told_apart_but_not_by_color():
    scenes = [draw_scene("easy", "test", 0, index) for index in range(500)]
    captions = [captions_of(scene)[0] for scene in scenes]
    assert ceiling_text_to_image(scenes, captions) > 0.8
    assert color_only_text_to_image(scenes, captions) < 0.2
    assert most_frequent_caption_truth(scenes, captions) < 0.05


def test_baselines_refuse_captions_of_another_language():
    with pytest.raises(ValueError, match="not a caption of the scenes: 'a dog'"):
        ceiling_text_to_image([LEFT], ["a dog"])
