"""Lists of texts, and lists of nothing: what every function makes of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from builders.predictors import photos, small_predictor
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.predictor import Predictor

Use = Callable[[Predictor, Any], object]

TEXTS: dict[str, tuple[str, Use]] = {
    "embed_texts": ("texts", lambda predictor, texts: predictor.embed_texts(texts)),
    "similarity": ("texts", lambda predictor, texts: predictor.similarity(photos(2), texts)),
    "caption_log_likelihood": ("captions", lambda predictor, texts: predictor.caption_log_likelihood(photos(2), texts)),
    "patch_scores": ("captions", lambda predictor, texts: predictor.patch_scores(photos(2), texts)),
    "classify": ("class_names", lambda predictor, texts: predictor.classify(photos(2), texts)),
    "class_probabilities": (
        "class_names",
        lambda predictor, texts: predictor.class_probabilities(photos(2), class_names=texts),
    ),
    "templates": (
        "templates",
        lambda predictor, texts: predictor.classify(photos(2), ["cat", "dog"], templates=texts),
    ),
    "candidates": (
        r"candidates\[1\]",
        lambda predictor, texts: predictor.candidate_log_likelihoods(photos(2), [["a"], texts]),
    ),
    "answers": (
        r"questions\[1\]",
        lambda predictor, texts: list(predictor.answers(photos(2), [["a"], texts])),
    ),
    "write_answers": (
        r"questions\[1\]",
        lambda predictor, texts: list(predictor.write_answers(photos(2), [["a"], texts], GenerationConfig())),
    ),
}


def answering() -> Predictor:
    return small_predictor(answers=("yes", "no"), model_num_answers=2)


@pytest.mark.parametrize("use", TEXTS)
def test_a_text_in_place_of_a_list_is_refused_with_the_remedy(use: str):
    name, called = TEXTS[use]
    with pytest.raises(ValueError, match=rf"^{name} is a list of texts, got the text 'cat'; write \['cat'\]$"):
        called(answering(), "cat")
    two = r"\['cat', 'dog'\]" if name == "class_names" else r"\['cat,dog'\]"
    with pytest.raises(ValueError, match=rf"^{name} is a list of texts, got the text 'cat,dog'; write {two}$"):
        called(answering(), "cat,dog")
    with pytest.raises(ValueError, match=rf"^{name} is a list of texts, got a set, which has no order; write a list$"):
        called(answering(), {"cat", "dog"})
    with pytest.raises(ValueError, match=rf"^{name}\[1\] is a text, got NoneType None$"):
        called(answering(), (one for one in ("a {}", None)))


@pytest.mark.parametrize("use", TEXTS)
def test_texts_may_come_in_any_list(use: str):
    _, called = TEXTS[use]
    texts = ["a {}", "the {}"]
    predictor = answering()
    expected = called(predictor, texts)
    for form in (tuple(texts), iter(texts), np.array(texts), dict.fromkeys(texts).keys()):
        found = called(predictor, form)
        if isinstance(expected, torch.Tensor):
            assert torch.equal(found, expected)
        else:
            assert str(found) == str(expected)


def test_lists_of_lists_are_lists_of_lists():
    for use in (
        lambda: answering().candidate_log_likelihoods(photos(1), "cat"),
        lambda: list(answering().answers(photos(1), "cat")),
    ):
        with pytest.raises(ValueError, match="is a list of texts for each image, got str"):
            use()


def test_templates_have_a_place_for_the_class():
    for templates, message in (([], "no prompt template is given"), (["a photo"], "has {} exactly once")):
        with pytest.raises(ValueError, match=message):
            small_predictor().classify(photos(1), ["cat", "dog"], templates=templates)
    with pytest.raises(ValueError, match="names no class"):
        small_predictor().classify(photos(1), [])


EMPTY: dict[str, tuple[Callable[[Predictor], torch.Tensor], tuple[int, ...]]] = {
    "embed_images": (lambda predictor: predictor.embed_images([]), (0, 10)),
    "embed_images of an array": (lambda predictor: predictor.embed_images(np.zeros((0, 8, 8, 3), np.uint8)), (0, 10)),
    "embed_images of an iterator": (lambda predictor: predictor.embed_images(iter([])), (0, 10)),
    "image_features": (lambda predictor: predictor.image_features([]), (0, 24)),
    "image_vectors": (lambda predictor: predictor.image_vectors([]).embeddings, (0, 10)),
    "saliency": (lambda predictor: predictor.saliency([]), (0, 16)),
    "embed_texts": (lambda predictor: predictor.embed_texts([]), (0, 10)),
    "similarity without images": (lambda predictor: predictor.similarity([], ["a", "b"]), (0, 2)),
    "similarity without texts": (lambda predictor: predictor.similarity(photos(3), []), (3, 0)),
    "similarity without both": (lambda predictor: predictor.similarity([], []), (0, 0)),
    "caption_log_likelihood": (lambda predictor: predictor.caption_log_likelihood([], []), (0,)),
    "class_probabilities": (lambda predictor: predictor.class_probabilities([], ["cat", "dog"]), (0, 2)),
    "patch_scores": (lambda predictor: predictor.patch_scores([], []), (0, 16)),
    "an image without candidates": (
        lambda predictor: predictor.candidate_log_likelihoods(photos(2), [["a"], []])[1],
        (0,),
    ),
}


@pytest.mark.parametrize("use", EMPTY)
def test_nothing_gives_nothing_of_the_right_shape(use: str):
    called, shape = EMPTY[use]
    found = called(small_predictor())
    assert (tuple(found.shape), found.dtype) == (shape, torch.float32)


def test_nothing_gives_empty_lists():
    predictor = answering()
    assert predictor.caption([]) == []
    assert predictor.classify([], ["cat", "dog"]) == []
    assert predictor.candidate_log_likelihoods([], []) == []
    assert list(predictor.answers([], [])) == []
    assert list(predictor.answers(photos(1), [[]])) == [[]]
    assert list(predictor.write_answers([], [], GenerationConfig())) == []
    head = small_predictor(class_names=("cat", "dog"), model_num_classes=2)
    assert head.classify([]) == []
    assert head.class_probabilities([]).shape == (0, 2)
