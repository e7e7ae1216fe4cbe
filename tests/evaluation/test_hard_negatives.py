from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image

from builders.benchmark_files import write_benchmarks
from builders.predictors import small_predictor
from sycoca.data.benchmarks.benchmark import open_benchmark
from sycoca.data.benchmarks.records import CaptionChoice, NamedImage, PairOfPairs, YesNoQuestion
from sycoca.evaluation.comparison import compare_reports
from sycoca.evaluation.hard_negatives.caption_choices import judge_choices
from sycoca.evaluation.hard_negatives.evaluate import evaluate_hard_negatives
from sycoca.evaluation.hard_negatives.pairs_of_pairs import judge_pairs
from sycoca.evaluation.hard_negatives.text_scores import text_scores
from sycoca.evaluation.hard_negatives.yes_no_questions import judge_questions
from sycoca.inference.predictor import Predictor


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return small_predictor()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_benchmarks(tmp_path_factory.mktemp("benchmarks"))


def image(name: str) -> NamedImage:
    return NamedImage(name=name, open_image=lambda _side=None: Image.new("RGB", (8, 8)))


def scores_of(**of_scorers: Sequence[Sequence[float]]):
    """Return a scorer that says what it is told, by suffix; "cosine" is the one without suffix."""
    found = {
        "" if name == "cosine" else f"_{name}": [torch.tensor(own) for own in rows] for name, rows in of_scorers.items()
    }
    return lambda _images, _texts: found


def choice(key: str, caption: str, negative: str, kind: str) -> CaptionChoice:
    return CaptionChoice(key=key, image=image("a"), caption=caption, negative=negative, kind=kind)


def test_choices_by_hand():
    choices = [
        choice("1", "a dog", "a cat", "swap"),
        choice("2", "a dog", "a big dog", "add"),
        choice("3", "a man on a horse", "a man", "swap"),
        choice("4", "a man", "a man with a hat", "swap"),
    ]
    # Right, tied, right, wrong.
    cosine = [[0.5, 0.1], [0.2, 0.2], [0.3, 0.2], [0.1, 0.2]]
    found = judge_choices(choices, scores_of(cosine=cosine, blank_image=[[1.0, 0.0]] * 4))
    assert found.metrics["hard_negative_accuracy"] == 2 / 4
    assert found.metrics["hard_negative_accuracy_of_negative_type_swap"] == pytest.approx(2 / 3)
    assert found.metrics["hard_negative_accuracy_of_negative_type_add"] == 0
    assert found.metrics["hard_negative_accuracy_mean_of_types"] == pytest.approx(1 / 3)
    assert found.metrics["hard_negative_accuracy_blank_image"] == 1
    # Tied, shorter, longer, shorter.
    assert found.metrics["hard_negative_accuracy_shorter"] == (0.5 + 1 + 0 + 1) / 4
    assert found.metrics["hard_negative_accuracy_random"] == 0.5
    names = list(found.metrics)
    assert names.index("hard_negative_accuracy_random") < names.index("hard_negative_accuracy_of_negative_type_swap")


def test_many_types_have_their_mean_alone():
    choices = [choice(str(number), "a", "b", f"relation {number % 13}") for number in range(26)]
    found = judge_choices(choices, scores_of(cosine=[[1.0, 0.0]] * 13 + [[0.0, 1.0]] * 13))
    assert found.metrics["hard_negative_accuracy_mean_of_types"] == 0.5
    assert not any("of_negative_type" in name for name in found.metrics)


def test_winoground_by_hand():
    pairs = [
        PairOfPairs(key=str(number), images=(image("a"), image("b")), captions=("x", "y"), kind=None)
        for number in range(4)
    ]
    rows = [
        [[0.9, 0.1], [0.2, 0.8]],  # all
        [[0.9, 0.8], [0.1, 0.2]],  # each image prefers its caption; caption y prefers image a
        [[0.9, 0.95], [0.1, 0.99]],  # captions prefer their images; image a prefers caption y
        [[0.5, 0.5], [0.5, 0.5]],  # ties count against the model
    ]
    flat = [row for pair in rows for row in pair]
    found = judge_pairs(pairs, scores_of(cosine=flat, blank_image=flat))
    assert found.metrics["winoground_text_score"] == 2 / 4
    assert found.metrics["winoground_image_score"] == 2 / 4
    assert found.metrics["winoground_group_score"] == 1 / 4
    assert found.metrics["winoground_group_score_random"] == pytest.approx(1 / 6)
    assert not any("blank" in name for name in found.metrics)


def question(key: str, text: str, *, is_yes: bool, name: str | None = None) -> YesNoQuestion:
    return YesNoQuestion(
        key=key, image=image(name or key), question=text, statements=("yes", "no"), is_yes=is_yes, kind="random"
    )


def test_a_question_in_several_lists_does_not_answer_itself():
    own = [("1", "a dog?", True), ("2", " A  dog?", False), ("3", "a cat?", True)]
    lists = [
        question(f"{key} {number}", text, is_yes=is_yes, name=key) for number in range(2) for key, text, is_yes in own
    ]
    for questions in (lists[:3], lists):
        found = judge_questions(questions, scores_of(cosine=[[0.0, 0.0]] * len(questions))).metrics
        # By the only other image of a dog the answers are the wrong ones, and no other image is asked about for cats.
        assert found["pope_accuracy_question_only"] == 0


def test_pope_by_hand():
    questions = [
        question("1", "a dog?", is_yes=True),
        question("2", "a dog?", is_yes=True),
        question("3", "a cat?", is_yes=False),
        question("4", "a cow?", is_yes=False),
        question("5", "a dog?", is_yes=False),
    ]
    # Yes, no (tied), yes, no, yes.
    found = judge_questions(questions, scores_of(cosine=[[1, 0], [0, 0], [1, 0], [0, 1], [1.0, 0]])).metrics
    assert found["pope_accuracy"] == 2 / 5
    assert found["pope_precision"] == pytest.approx(1 / 3)
    assert found["pope_recall"] == 1 / 2
    assert found["pope_f1"] == pytest.approx(2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2))
    assert found["pope_yes_ratio"] == 3 / 5
    assert found["pope_labeled_yes"] == 2 / 5
    assert found["pope_accuracy_always_yes"] == 2 / 5
    assert found["pope_recall_always_yes"] == 1
    # By the others with the same text: no (one yes, one no), no, no, no, yes.
    assert found["pope_accuracy_question_only"] == 2 / 5
    assert not any("true_yes" in name for name in found)
    of_cosine = ["pope_accuracy", "pope_precision", "pope_recall", "pope_f1", "pope_yes_ratio"]
    assert list(found)[:6] == [*of_cosine, "pope_accuracy_always_yes"]


def test_scores_are_those_that_users_get(predictor: Predictor):
    images = [
        NamedImage(name=name, open_image=lambda _side=None, value=value: Image.new("RGB", (40, 32), (value, 0, 90)))
        for name, value in (("a", 20), ("b", 200))
    ]
    texts = [["a red circle", "a blue square"], ["a blue square", "a circle left of a square"], ["a red circle"]]
    found = text_scores(predictor, [*images, images[0]], texts, batch_size=1, console=None)
    blank = Image.new("RGB", (32, 32), tuple(round(255 * mean) for mean in predictor.config.transforms.mean))
    for row, (own, pixels) in enumerate(
        zip(texts, [images[0].open_image(), images[1].open_image(), images[0].open_image()], strict=True)
    ):
        likely = predictor.caption_log_likelihood([pixels] * len(own), own, per_token=True)
        without = predictor.caption_log_likelihood([blank] * len(own), own, per_token=True)
        expected = {
            "": predictor.similarity([pixels], own)[0],
            "_blank_image": predictor.similarity([blank], own)[0],
            "_likelihood": likely,
            "_likelihood_blank_image": without,
            "_likelihood_gain": likely - without,
        }
        assert found.keys() == expected.keys()
        for scorer, values in expected.items():
            torch.testing.assert_close(found[scorer][row], values.float(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("spec", ["sugarcrepe:{}/sugarcrepe", "aro:{}/visual_genome_relation.json"])
def test_reports_add_up_from_their_items(predictor: Predictor, folder: Path, spec: str):
    report = evaluate_hard_negatives(predictor, open_benchmark(spec.format(folder), folder), spec, batch_size=2)
    compared = compare_reports({"one": report}).values
    for name in report.metrics:
        value = compared[name][0]
        assert value is not None
        if "_of_negative_type_" not in name:  # some types of these small files have one image, and so no interval
            assert (value.interval is None) == name.endswith("_random"), name
    assert report.counts == {"choices": 3, "images": 2 if "sugar" in spec else 3, "left_out": 0}
    assert report.metrics.keys() >= {
        "hard_negative_accuracy_likelihood",
        "hard_negative_accuracy_likelihood_blank_image",
        "hard_negative_accuracy_likelihood_gain",
        "hard_negative_accuracy_mean_of_types",
    }


def test_a_model_without_captioner_is_judged_by_cosine_alone(folder: Path):
    predictor = small_predictor(model_text_decoder=None)
    winoground = open_benchmark(f"winoground:{folder / 'examples.jsonl'}", folder)
    report = evaluate_hard_negatives(predictor, winoground, "winoground", limit=1)
    assert report.counts == {"pairs": 1, "images": 2, "left_out": 0}
    assert not any("likelihood" in name for name in report.metrics)


def test_unreadable_images_end_it_or_are_counted(predictor: Predictor, tmp_path: Path):
    folder = write_benchmarks(tmp_path)
    questions = open_benchmark(f"pope:{folder / 'coco_pope_random.json'}", folder)
    (folder / questions[2].image.name).write_text("no picture")  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValueError, match=r"COCO_val2014_000000000001\.jpg"):
        evaluate_hard_negatives(predictor, questions, "pope")
    report = evaluate_hard_negatives(predictor, questions, "pope", max_skipped_ratio=0.5)
    assert report.counts == {"questions": 2, "images": 1, "left_out": 2}
    with pytest.raises(ValueError, match="limit must be at least 1"):
        evaluate_hard_negatives(predictor, questions, "pope", limit=0)
