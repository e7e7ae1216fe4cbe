import pytest

from sycoca.data.scenes.language import parse_caption
from sycoca.data.scenes.source import ScenesSource
from sycoca.inference.explaining.noun_phrases import content_words, noun_phrases


def phrases(caption: str) -> list[str]:
    words = caption.split()
    return [" ".join(words[phrase]) for phrase in noun_phrases(words)]


@pytest.mark.parametrize("level", ["easy", "hard"])
def test_the_things_of_a_scene_are_its_noun_phrases(level):
    for sample in map(ScenesSource(level=level, count=10).__getitem__, range(10)):
        for caption in sample.captions:
            facts = parse_caption(caption)
            assert facts is not None
            found = [phrase for phrase in phrases(caption) if phrase != "a picture"]
            for phrase, thing in zip(found, facts.things, strict=True):
                assert phrase.split()[1:] == [*([] if thing.size is None else [thing.size]), thing.color, thing.shape]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("two dogs run through the snow", ["two dogs", "the snow"]),
        ("a dog chasing cats", ["a dog", "cats"]),
        ("a running dog", ["a running dog"]),
        ("a man in a blue striped shirt", ["a man", "a blue striped shirt"]),
        ("a man dressed in black", ["a man", "black"]),
        ("a brown and white dog is sitting", ["a brown and white dog"]),
        ("people and their kids, a tent", ["people", "their kids,", "a tent"]),
        ("to the left of a table", ["a table"]),
        ("water close to the shore", ["water", "the shore"]),
        ("a close friend", ["a close friend"]),
        ("a café", ["a café"]),
        ("", []),
        ("犬が走る", []),
        ("собака бежит", []),
    ],
)
def test_rules_of_thumb(caption: str, expected: list[str]):
    assert phrases(caption) == expected


def test_determiners_are_no_content():
    words = ["near", "the", "two", "big", "dogs"]
    (phrase,) = noun_phrases(words)
    assert [words[index] for index in content_words(words, phrase)] == ["big", "dogs"]
