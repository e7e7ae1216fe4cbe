"""Zero-shot and fine-tuned classification of images with labels."""

from dataclasses import replace

import pytest
import torch

from builders.predictors import SCENES, ListSource, photo_source, small_predictor
from sycoca.data.class_lists import NamedClass, named_classes
from sycoca.evaluation.classification import evaluate_classification
from sycoca.evaluation.comparison import compare_reports
from sycoca.evaluation.embeddings import ImageEmbeddings
from sycoca.evaluation.sharding import Sharding
from sycoca.evaluation.zero_shot import SCENE_TEMPLATES, ZeroShotPrompts, evaluate_zero_shot
from sycoca.inference.predictor import Predictor

NAMES = ("circle", "square", "star")
LABELS = ("star", "circle", "circle", "square", "circle")


def labeled(*labels: str | None) -> ListSource:
    source = photo_source([()] * len(labels))
    samples = [replace(sample, label=label) for sample, label in zip(source.samples, labels, strict=True)]
    return ListSource(samples=tuple(samples))


@pytest.fixture
def predictor() -> Predictor:
    torch.manual_seed(5)
    return small_predictor(model_num_classes=3, class_names=NAMES)


@pytest.mark.parametrize("scorer", ["cosine", "likelihood"])
@pytest.mark.parametrize("batch_size", [2, 64])
def test_zero_shot_is_what_users_get_from_classify(predictor: Predictor, scorer, batch_size: int):
    source = labeled(*LABELS)
    prompts = ZeroShotPrompts(templates=("the {}",), scorer=scorer)
    report = evaluate_zero_shot(predictor, source, prompts=prompts, batch_size=batch_size)
    chosen = predictor.classify(source.samples, NAMES, templates=("the {}",), scorer=scorer)
    hits = [int(name == label) for name, label in zip(chosen, LABELS, strict=True)]
    assert report.items["image"].values["accuracy_top_1"] == hits
    assert report.metrics["accuracy_top_1"] == pytest.approx(sum(hits) / 5)
    assert report.metrics["accuracy_top_5"] == 1.0
    assert report.items["image"].values["predicted_class"] == [NAMES.index(name) for name in chosen]
    assert report.items["image"].keys == [f"photo-{i}" for i in range(5)]
    assert report.items["class"].keys == list(NAMES)
    assert report.items["class"].values["images"] == [3, 1, 1]
    counts = {"images": 5, "classes": 3, "classes_with_images": 3, "unlabeled_images": 0, "truncated_prompts": 0}
    assert report.counts == counts
    assert (report.settings["scorer"], report.settings["templates"]) == (scorer, "the {}")


def test_zero_shot_takes_embeddings_that_are_there(predictor: Predictor):
    source, embeddings = labeled(*LABELS), ImageEmbeddings(predictor)
    embeddings.of(source, 5)
    expected = evaluate_zero_shot(predictor, source)
    predictor.image_vectors = None  # pyright: ignore
    assert evaluate_zero_shot(predictor, source, embeddings=embeddings).metrics == expected.metrics


def test_head_is_measured_as_users_get_it(predictor: Predictor):
    source = labeled(*LABELS)
    assert predictor.model.class_head is not None
    torch.nn.init.normal_(predictor.model.class_head.linear.weight)
    report = evaluate_classification(predictor, source, batch_size=2)
    chosen = predictor.classify(source.samples)
    assert len(set(chosen)) > 1
    assert report.metrics["accuracy_top_1"] == sum(map(str.__eq__, chosen, LABELS)) / 5
    with pytest.raises(ValueError, match="no head for classes"):
        evaluate_classification(small_predictor(), source)


@pytest.mark.parametrize("task", ["cosine", "likelihood", "head"])
def test_two_processes_find_what_one_finds(predictor: Predictor, task):
    source = labeled(*LABELS)

    def evaluate(sharding: Sharding):
        if task == "head":
            return evaluate_classification(predictor, source, sharding=sharding)
        return evaluate_zero_shot(predictor, source, prompts=ZeroShotPrompts(scorer=task), sharding=sharding)

    parts = []
    for rank in range(2):  # what each process would contribute
        with pytest.raises(InterruptedError):
            evaluate(Sharding(rank=rank, world_size=2, gather_rows=lambda rows: _keep(parts, rows)))
    whole = torch.cat(parts)
    joined = evaluate(Sharding(rank=1, world_size=2, gather_rows=lambda _: whole))
    alone = evaluate(Sharding())
    assert joined.items == alone.items
    assert joined.metrics == alone.metrics


def _keep(parts: list[torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
    parts.append(rows)
    raise InterruptedError


def test_a_limit_makes_the_choice_no_easier(predictor: Predictor):
    source = labeled("star", "star", *LABELS)
    report = evaluate_zero_shot(predictor, source, limit=2)
    assert (report.counts["images"], report.counts["classes"]) == (2, 3)
    whole = evaluate_zero_shot(predictor, source)
    assert report.settings["class_list"] == whole.settings["class_list"]
    assert report.items["image"].values["predicted_class"] == whole.items["image"].values["predicted_class"][:2]


def test_reports_say_which_classes_there_were(predictor: Predictor):
    source, more = labeled(*LABELS), ZeroShotPrompts(classes=named_classes([*NAMES, "moon"]))
    reports = {"a": evaluate_zero_shot(predictor, source), "b": evaluate_zero_shot(predictor, source, prompts=more)}
    assert any("class_list 4 classes" in note for note in compare_reports(reports).notes)
    other_names = [NamedClass(label=name, wordings=(f"{name} shape",)) for name in NAMES]
    renamed = evaluate_zero_shot(predictor, source, prompts=ZeroShotPrompts(classes=other_names))
    assert renamed.settings["class_list"] != reports["a"].settings["class_list"]
    assert str(evaluate_classification(predictor, source).settings["class_list"]).startswith("3 classes")


def test_the_most_frequent_mistakes_are_named(predictor: Predictor):
    report = evaluate_zero_shot(predictor, labeled(*["star"] * 4, "circle"))
    chosen = predictor.classify(labeled(*["star"] * 4).samples, ["circle", "star"])
    times = chosen.count("circle")
    mistakes = report.settings["most_frequent_mistakes"]
    assert isinstance(mistakes, str)
    assert ("star taken for circle" in mistakes) == (times > 0)
    assert times == 0 or f"star taken for circle {times}x" in mistakes


def test_scenes_have_prompts_of_their_own():
    report = evaluate_zero_shot(small_predictor(), SCENES)
    assert report.settings["templates"] == " | ".join(SCENE_TEMPLATES)


def test_synonyms_and_indices(predictor: Predictor):
    classes = (NamedClass(label="0", wordings=("circle", "star")), NamedClass(label="1", wordings=("square",)))
    report = evaluate_zero_shot(predictor, labeled("1", "0", "1"), prompts=ZeroShotPrompts(classes=classes))
    assert report.items["image"].values["true_class"] == [1, 0, 1]


def test_nothing_is_left_out_silently(predictor: Predictor):
    source = labeled("circle", None, "squire")
    prompts = ZeroShotPrompts(classes=named_classes(NAMES))
    with pytest.raises(ValueError, match=r"photo-1 has no label; .*--unlabeled skip"):
        evaluate_zero_shot(predictor, source, prompts=prompts)
    with pytest.raises(ValueError, match=r"photo-1 has no label"):
        evaluate_zero_shot(predictor, source)
    with pytest.raises(ValueError, match=r"'squire' of photo-0 is none of the 3 classes; did you mean 'square'"):
        evaluate_classification(predictor, labeled("squire"))
    report = evaluate_zero_shot(predictor, source, prompts=replace(prompts, unlabeled="skip"))
    assert report.counts["images"] == 1
    assert report.counts["unlabeled_images"] == 2
    assert report.metrics["skipped_samples"] == 2
    assert evaluate_classification(predictor, source, unlabeled="skip").counts["unlabeled_images"] == 2
    with pytest.raises(ValueError, match="no image belongs to one of the 3 classes"):
        evaluate_classification(predictor, labeled(None), unlabeled="skip")
    with pytest.raises(ValueError, match=r"fewer than two classes \(circle\)"):
        evaluate_zero_shot(predictor, labeled("circle"))
