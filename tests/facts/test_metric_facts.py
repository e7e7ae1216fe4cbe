"""Every number that an evaluation reports has a row in the table, and every row belongs to some number."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
import torch

from builders.benchmark_files import write_benchmarks
from builders.predictors import SCENES, small_predictor
from sycoca.data.benchmarks.benchmark import open_benchmark
from sycoca.data.benchmarks.coco_instances import ImageObjects
from sycoca.data.benchmarks.judgments import Judgment
from sycoca.data.samples import Question
from sycoca.data.scenes.source import ScenesSource
from sycoca.evaluation.classification import evaluate_classification
from sycoca.evaluation.clip_scores import CaptionJudge, clip_score_part
from sycoca.evaluation.hallucinations import chair_part
from sycoca.evaluation.hard_negatives.evaluate import evaluate_hard_negatives
from sycoca.evaluation.judged_captions import correlate_judgments
from sycoca.evaluation.phrase_grounding import evaluate_grounding_and_phrases
from sycoca.evaluation.probe import ProbeTraining, evaluate_probe
from sycoca.evaluation.reconstruction import evaluate_reconstruction
from sycoca.evaluation.report import Report
from sycoca.evaluation.report_parts import ReportPart
from sycoca.evaluation.retrieval import RetrievalOptions, evaluate_retrieval
from sycoca.evaluation.scene_baselines import evaluate_scene_baselines
from sycoca.evaluation.scene_captions import evaluate_scene_captions
from sycoca.evaluation.scene_swaps import evaluate_scene_swaps
from sycoca.evaluation.vqa_scores import vqa_report
from sycoca.evaluation.zero_shot import evaluate_zero_shot
from sycoca.experiments.ablation.measures import retrieval_values
from sycoca.facts.ablation_metrics import METRIC_GROUPS
from sycoca.facts.metric_facts import (
    METRICS,
    PREFIXES,
    TRAINING_VALUES,
    is_improvement,
    metric_facts,
    metric_title,
    readable,
    readable_interval,
    set_dependence,
)
from sycoca.facts.metric_suffixes import REFERENCES, SUFFIXES, TYPE_SUFFIXES
from sycoca.inference.predictor import Predictor

NEEDS_JAVA = {"meteor"}


def vqa_reports() -> Iterator[Report]:
    for references in (("yes",) * 4, ("yes",)):
        questions = [
            Question(question="is it?", answers=references, key=f"{n}", answer_type="yes/no", question_type="is")
            for n in range(2)
        ]
        yield vqa_report(questions, ["yes", "no"], listed_answers=["yes", "no"])


def caption_parts(predictor: Predictor) -> Iterator[ReportPart]:
    """Yield what sycoca score captioning adds by option, on scenes."""
    references = {SCENES[index].key: SCENES[index].captions for index in range(3)}
    captions = {name: f"a dog and a {number}" for number, name in enumerate(references)}
    judge = CaptionJudge(predictor=predictor, source=SCENES, weights="small", weights_sha256="0")
    yield clip_score_part(judge, captions, references)
    objects = ImageObjects(
        Path("instances.json"), dict.fromkeys(references, frozenset({"dog"})), {n: n for n in captions}
    )
    yield chair_part(captions, references, objects)
    texts = [*captions.values(), *references[SCENES[0].key]]
    judgments = [
        Judgment(image=SCENES[number % 2].key, caption=f"{text} too " * (1 + number % 2), score=float(number))
        for number, text in enumerate(texts)
    ]
    yield correlate_judgments(Path("judged.jsonl"), judgments, references, judge)


def benchmark_reports(predictor: Predictor, folder: Path) -> Iterator[Report]:
    write_benchmarks(folder)
    for spec in (f"sugarcrepe:{folder}/sugarcrepe", f"winoground:{folder}/examples.jsonl"):
        yield evaluate_hard_negatives(predictor, open_benchmark(spec, folder), spec)
    pope = f"pope:{folder}/coco_pope_random.json"
    yield evaluate_hard_negatives(predictor, open_benchmark(pope, folder), pope)


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Return the keys of all evaluations' reports on scenes."""
    torch.manual_seed(0)  # with other weights all cosines may be negative, and CLIPScores equal
    predictor = small_predictor()
    labels = tuple(sorted({str(SCENES[index].label) for index in range(len(SCENES))}))
    classifier = small_predictor(model_num_classes=len(labels), class_names=labels)
    reports = [
        evaluate_retrieval(predictor, SCENES, options=RetrievalOptions(re_rank=2)),
        evaluate_scene_captions(predictor, SCENES),
        evaluate_scene_swaps(predictor, SCENES),
        evaluate_scene_baselines(SCENES),
        evaluate_grounding_and_phrases(predictor, ScenesSource(level="easy", count=3, size=32, distractors=1)),
        evaluate_zero_shot(predictor, SCENES),
        evaluate_reconstruction(predictor, SCENES),
        evaluate_classification(classifier, SCENES),
        evaluate_probe(predictor, SCENES, training=ProbeTraining(train=SCENES, validation=SCENES)),
        *vqa_reports(),
        *benchmark_reports(predictor, tmp_path_factory.mktemp("benchmarks")),
    ]
    keys = set(chain.from_iterable(report.metrics for report in (*reports, *caption_parts(predictor))))
    return keys | retrieval_values(reports[0]).keys() | {*METRIC_GROUPS["transfer"]}


def row_of(key: str) -> str | None:
    """Return the row of a key, found by leaving out what may stand before and behind it."""
    if key in METRICS or key in TRAINING_VALUES:
        return key
    shorter = [
        *(key.removeprefix(prefix) for prefix in PREFIXES if key.startswith(prefix)),
        *(key.removesuffix(suffix) for suffix in SUFFIXES if key.endswith(suffix)),
        *(key.partition(suffix)[0] for suffix in TYPE_SUFFIXES if suffix in key),
    ]
    return next((row for row in map(row_of, shorter) if row is not None), None)


def test_every_reported_number_has_a_row(reported: set[str]):
    assert sorted(key for key in reported if metric_facts(key) is None) == []


def test_every_row_belongs_to_a_reported_number(reported: set[str]):
    assert METRICS.keys() - {row_of(key) for key in reported} - NEEDS_JAVA == set()


def test_every_suffix_belongs_to_a_reported_number(reported: set[str]):
    unused = {suffix for suffix in SUFFIXES if not any(key.endswith(suffix) for key in reported)}
    unused |= {suffix for suffix in TYPE_SUFFIXES if not any(suffix in key for key in reported)}
    assert unused == set()


def test_titles_tell_metrics_apart(reported: set[str]):
    titles = {key: metric_title(key) for key in reported | METRICS.keys()}
    assert len(set(titles.values())) == len(titles)


def test_prefixes_and_suffixes_of_keys_are_parsed():
    assert metric_title("validation_text_to_image_recall_at_1") == "held-out text-to-image R@1"
    assert metric_title("text_to_image_recall_at_1_ceiling") == "text-to-image R@1, upper bound"
    assert metric_title("re_ranked_image_to_text_mean_rank") == "re-ranked image-to-text mean rank"
    title = metric_title("answer_accuracy_of_question_type_what color")
    assert title == "answer accuracy, questions of type what color"
    assert metric_title("swap_accuracy_likelihood_colors") == "hard negatives by likelihood, colors"
    assert metric_title("something_else") == "something else"
    assert metric_facts("something_else") is None


def test_values_are_formatted_in_their_units():
    assert readable("text_to_image_recall_at_1", 0.125) == "12.5 %"
    assert readable("validation_cider", 0.75) == "0.750"
    assert readable("image_to_text_mean_rank", 1234.56) == "1,234.6"
    assert [readable("skipped_samples", value) for value in (0.0, 1200.0, 0.5)] == ["0", "1,200", "0.5"]
    assert readable("training_seconds", 61.25) == "61.2"
    assert readable("validation_contrastive", 2.3456) == "2.35"
    assert readable("something_else", 0.5) == "0.5"


def test_improvements_follow_the_direction_of_the_metric():
    assert is_improvement("accuracy_top_1", 0.1) is True
    assert is_improvement("accuracy_top_1", -0.1) is False
    assert is_improvement("re_ranked_text_to_image_median_rank", -1.0) is True
    assert is_improvement("validation_captioning", 0.5) is False
    assert is_improvement("described_ratio", 0.5) is None
    assert is_improvement("accuracy_top_1", 0.0) is None
    assert is_improvement("something_else", 1.0) is None
    for suffix in REFERENCES:
        assert is_improvement(f"mask_coverage{suffix}", -0.5) is None
    assert is_improvement("swap_accuracy_colors", -0.5) is False
    assert is_improvement("hard_negative_accuracy_likelihood_mean_of_types", 0.5) is True
    assert is_improvement("hard_negative_accuracy_blank_image_mean_of_types", 0.5) is None
    assert is_improvement("hard_negative_accuracy_shorter_of_negative_type_add_obj", 0.5) is None
    assert is_improvement("chair_i", -0.5) is True


def test_no_number_has_an_exponent_with_an_e():
    assert readable("contrastive", 2.47e-7) == "2.47 \u00d7 10\u207b\u2077"
    assert readable("contrastive", 0.000247) == "0.000247"
    assert readable_interval("accuracy_top_1", (0.25, 0.5)) == "25.0 to 50.0 %"
    assert readable_interval("described_patch_auc", (0.25, 0.5)) == "0.250 to 0.500"


@pytest.mark.parametrize(
    ("key", "depends"),
    [
        ("re_ranked_text_to_image_recall_at_5", True),
        ("mean_text_recall", True),
        ("cider", True),
        ("cider_kendall_tau_c", True),
        ("rouge_l_kendall_tau_c", False),
        ("self_retrieval_recall_at_1", True),
        ("clip_score", False),
        ("clip_score_other_image", True),
        ("chair_i_other_image", True),
        ("reconstruction_gain_described_over_other", True),
        ("reconstruction_gain_described_over_empty", False),
        ("mask_coverage_no_caption", False),
        ("vqa_accuracy_most_frequent_of_answer_type_other", True),
        ("vqa_accuracy_of_answer_type_other", False),
        ("accuracy_top_1", False),
        ("no such metric", False),
    ],
)
def test_which_values_depend_on_the_whole_set(key: str, *, depends: bool):
    assert (set_dependence(key) is not None) == depends
