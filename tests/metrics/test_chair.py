import numpy as np
import pytest

from sycoca.metrics.chair import chair_counts, chair_metrics, objects_in_captions
from sycoca.metrics.coco_objects import WORDS_OF_CATEGORY
from sycoca.metrics.resampling import metrics_of_items


def objects(caption: str) -> list[str]:
    return objects_in_captions([caption])[0]


def test_the_table_has_cocos_80_categories_and_no_word_twice():
    assert len(WORDS_OF_CATEGORY) == 80
    words = [word for category, others in WORDS_OF_CATEGORY.items() for word in (category, *others)]
    assert sorted({word for word in words if words.count(word) > 1}) == []


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A man eats a hot dog.", ["person", "hot dog"]),
        ("Two dogs chase three frisbees", ["dog", "frisbee"]),
        ("a baby elephant beside an adult elephant", ["elephant", "elephant"]),
        ("a baby on a couch", ["person", "couch"]),
        ("children ride buses to the beaches", ["person", "bus"]),
        ("sheep, knives and wine glasses", ["sheep", "knife", "wine glass"]),
        ("a player slides into home plate", ["person"]),
        ("people wait at a train station", ["person"]),
        ("a teddy bear wears a bow tie", ["teddy bear", "tie"]),
        ("a toilet seat is up", ["toilet"]),
        ("a passenger jet and puppies", ["airplane", "dog"]),
        ("policemen on motorbikes", ["person", "motorcycle"]),
        ("a red sunset over the sea", []),
    ],
)
def test_captions_mention_categories(caption: str, expected: list[str]):
    assert objects(caption) == expected


def test_chair_by_hand():
    mentioned = [["dog", "dog", "person"], ["cat"], [], ["bus", "car"]]
    shown = [{"dog"}, {"cat", "bed"}, {"kite"}, {"boat"}]
    counts = chair_counts(mentioned, shown)
    assert counts["hallucinated_objects"] == [1, 0, 0, 2]
    assert counts["chair_s"] == [1, 0, 0, 1]
    found = chair_metrics({name: np.array([float(sum(own))]) for name, own in counts.items()})
    assert found["chair_i"].tolist() == [3 / 6]
    # Of dog, cat, bed, kite and boat the captions mention two.
    assert found["object_recall"].tolist() == [2 / 5]
    items = {name: np.array(own, dtype=float) for name, own in counts.items()}
    once = metrics_of_items(items, np.array([[1.0, 1, 1, 1], [2.0, 0, 0, 0]]))
    assert once["chair_s"].tolist() == [0.5, 1]
    assert once["chair_i"].tolist() == pytest.approx([0.5, 1 / 3])


def test_nothing_mentioned_has_no_ratio():
    counts = chair_counts([[]], [set()])
    found = chair_metrics({name: np.array([float(sum(own))]) for name, own in counts.items()})
    assert np.isnan(found["chair_i"]).all()
