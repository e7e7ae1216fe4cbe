from functools import partial

import pytest
import torch

from builders.predictors import SCENES, ListSource, open_photo, photo_source, small_predictor
from sycoca.data.samples import ImageTextSample, Question
from sycoca.inference.predictor import Predictor
from sycoca.reports.comparing.model_gallery import model_gallery
from sycoca.reports.comparing.retrieved import compared_queries


@pytest.fixture(scope="module")
def models() -> dict[str, Predictor]:
    models = {}
    for seed, name in enumerate(("first", "other")):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            models[name] = small_predictor()
    return models


def test_queries_are_those_on_which_models_differ_with_their_ranks(models: dict[str, Predictor]):
    samples: list[ImageTextSample] = [SCENES[index] for index in range(len(SCENES))]
    captions = [sample.captions[0] for sample in samples]
    ranks = {}
    for name, model in models.items():
        similarities = model.embed_texts(captions) @ model.embed_images(samples).T
        ranks[name] = [int((own >= own[i]).sum()) for i, own in enumerate(similarities)]
    gain = [first - other for first, other in zip(ranks["first"], ranks["other"], strict=True)]
    found = dict(compared_queries(models, samples))
    number = len(SCENES)
    higher, lower = sum(one > 0 for one in gain), sum(one < 0 for one in gain)
    best = found[f"other ranks the image higher than first, on {higher} of {number}; most on these"][0]
    at = captions.index(best.caption)
    assert gain[at] == max(gain) > 0
    assert [answer.rank for answer in best.answers] == [ranks["first"][at], ranks["other"][at]]
    worst = found[f"other ranks the image lower than first, on {lower} of {number}; most on these"][0]
    assert captions.index(worst.caption) == gain.index(min(gain))
    best_ranks = [min(both) for both in zip(*ranks.values(), strict=True)]
    expected = sorted(range(len(captions)), key=lambda number: -best_ranks[number])[:3]
    assert [query.caption for query in found["worst for all"]] == [captions[number] for number in expected]
    for answer in (answer for queries in found.values() for query in queries for answer in query.answers):
        assert (answer.first is None) == (answer.rank == 1)
        assert answer.first_cosine >= answer.own_cosine


def test_every_model_says_its_own_captions(models: dict[str, Predictor]):
    found = model_gallery(models, SCENES, "scenes")
    assert found.num_images == len(SCENES)
    assert len(found.captions) == 8
    for shown, index in zip(found.captions, [0, 1, 3, 4, 6, 7, 9, 10], strict=True):
        assert [one.row for one in shown.said] == ["first", "other"]
        assert [one.text for one in shown.said] == [model.caption([SCENES[index]])[0] for model in models.values()]
        assert shown.references == SCENES[index].captions
    assert (found.answers, found.classes, found.missing) == ((), (), ())


def test_models_without_a_part_are_named(models: dict[str, Predictor]):
    without = small_predictor(model_text_decoder=None, model_image_decoder=None)
    found = model_gallery({"first": models["first"], "clip": without}, SCENES, "scenes")
    assert [one.row for one in found.captions[0].said] == ["first"]
    assert len(found.missing) == 1
    assert found.missing[0].startswith("clip generates no captions: ")
    only = model_gallery({"first": models["first"]}, photo_source([(), ()]), "photos")
    assert only.queries == ()
    assert only.missing == ("Captions and retrieval need images with captions, and these have none",)


def test_answers_and_classes_of_the_models_that_have_them(models: dict[str, Predictor]):
    asked = Question(question="what color?", answers=("red",))
    images = ListSource(
        samples=tuple(
            ImageTextSample(
                key=str(i), captions=(), open_image=partial(open_photo, i), label="ant", questions=(asked,) * (i % 2)
            )
            for i in range(3)
        )
    )
    answering = small_predictor(model_num_answers=2, answers=("red", "blue"))
    classifying = small_predictor(model_num_classes=2, class_names=("ant", "bee"))
    found = model_gallery({"vqa": answering, "classes": classifying, "first": models["first"]}, images, "photos")
    (shown,) = found.answers
    assert (shown.question, shown.references) == ("what color?", ("red",))
    (said,) = shown.said
    answer = answering.ask(images[1], "what color?")
    assert (said.row, said.text, said.is_right) == ("vqa", answer, answer == "red")
    assert [[one.row for one in shown.said] for shown in found.classes] == [["classes"]] * 3
    assert [shown.said[0].text for shown in found.classes] == classifying.classify([images[i] for i in range(3)])
