"""The quickstart's HTML report: that of its pretraining, with the results of all tasks."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from sycoca.data.scenes.source import ScenesSource
from sycoca.evaluation.comparison import evidence_of
from sycoca.evaluation.report import Report
from sycoca.evaluation.scene_captions import is_caption_true
from sycoca.experiments.quickstart.tasks import FIRST_WORDS, TunedModel
from sycoca.facts.metric_facts import metric_title, readable, readable_interval
from sycoca.facts.metric_suffixes import BASELINES
from sycoca.inference.predictor import Predictor
from sycoca.metrics.vqa import MemberRule
from sycoca.reports.class_gallery import class_gallery
from sycoca.reports.page import Figure, Page
from sycoca.reports.question_gallery import question_gallery
from sycoca.reports.run_report import run_page
from sycoca.reports.sample_gallery import caption_examples, mask_examples, retrieval_examples
from sycoca.training.engine.runtime import Runtime
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.recipes.pretraining.recipe import Pretraining
from sycoca.training.run.report import run_record
from sycoca.training.run_folder import RunFolder

_SHOWN = "held-out scenes"


@dataclass(frozen=True, kw_only=True, slots=True)
class TunedModels:
    """The models fine-tuned from the pretrained one."""

    vqa: TunedModel
    """Fine-tuned to answer questions."""

    classification: TunedModel
    """Fine-tuned to classify the largest object."""


def quickstart_page(
    config: PretrainConfig,
    folder: RunFolder,
    predictor: Predictor,
    source: ScenesSource,
    tuned: TunedModels,
    reports: dict[str, Report],
    metrics: dict[str, float],
) -> Page:
    """Return the report: key figures, curves, outputs of all three models on held-out scenes, and all metrics."""
    samples = [source[i] for i in range(len(source))]
    recipe = Pretraining(config)
    with Runtime(config.runtime) as runtime:
        record = run_record(
            recipe,
            folder,
            recipe.open_sources(),
            runtime,
            num_parameters=predictor.model.num_parameters,
            samples_seen=config.training.steps * config.training.global_batch_size,
        )
    return replace(
        run_page(record, None),
        title="SyCoCa quickstart",
        kind="training from scratch and evaluation of five tasks",
        summary=(
            f"A model of {predictor.model.num_parameters:,} parameters, pretrained from scratch on generated scenes for"
            f" {config.training.steps:,} steps of {config.training.global_batch_size} pairs in"
            f" {metrics['training_seconds'] / 60:.1f} minutes, validation included, fine-tuned for VQA and for"
            f" classification in another {metrics['fine_tuning_seconds'] / 60:.1f}, and evaluated on {len(source)}"
            " held-out scenes, whose content does not occur in training."
        ),
        examples_of=_SHOWN,
        figures=_figures(metrics, reports),
        retrieval=retrieval_examples(predictor, samples, 5),
        captions=caption_examples(predictor, samples, 10, _truth_of(source)),
        answers=question_gallery(tuned.vqa.predictor, source, MemberRule(), _SHOWN).answers,
        classes=class_gallery(tuned.classification.predictor, source, _SHOWN).classes,
        masks=mask_examples(predictor, samples, 6),
        reports=list(reports.values()),
    )


def _figures(metrics: dict[str, float], reports: dict[str, Report]) -> list[Figure]:
    values = {**metrics, **reports["grounding"].metrics, **reports["vqa"].metrics}
    percent = {key: readable(key, value) for key, value in values.items()}
    recall_by_chance = readable("text_to_image_recall_at_10", 10 / reports["retrieval"].counts["images"])
    class_by_chance = readable("zero_shot_accuracy_top_1", 1 / reports["zero_shot"].counts["classes"])
    figures = {
        ("retrieval", "text_to_image_recall_at_1"): Figure(
            label="text-to-image retrieval, R@1",
            value=percent["text_to_image_recall_at_1"],
            note=f"color-only baseline {percent['text_to_image_recall_at_1_color_only']},"
            f" upper bound {percent['text_to_image_recall_at_1_ceiling']}; R@10"
            f" {percent['text_to_image_recall_at_10']}, chance {recall_by_chance}",
        ),
        ("captioning", "caption_truth"): Figure(
            label="captioning: true captions",
            value=percent["caption_truth"],
            note=f"most frequent caption {percent['caption_truth_most_frequent']}",
        ),
        ("vqa", "answer_accuracy"): Figure(
            label=f"VQA, {metric_title('answer_accuracy')}",
            value=percent["answer_accuracy"],
            note=f"question without image {percent['answer_accuracy_question_only']},"
            f" most frequent answer {percent['answer_accuracy_most_frequent']}",
        ),
        ("zero_shot", "accuracy_top_1"): Figure(
            label="zero-shot classification by caption likelihood, top-1 accuracy",
            value=percent["zero_shot_accuracy_top_1"],
            note=f"{len(FIRST_WORDS)} prompts; chance {class_by_chance}; fine-tuned"
            f" {percent['classification_accuracy_top_1']}",
        ),
        ("swaps", "swap_accuracy"): Figure(
            label="hard negatives: captions preferred to swapped ones",
            value=percent["swap_accuracy"],
            note="chance and bag of words 50 %",
        ),
        ("grounding", "described_patch_auc"): Figure(
            label="described against undescribed object patches, ROC AUC",
            value=percent["described_patch_auc"],
            note=f"no caption {percent['described_patch_auc_no_caption']},"
            f" another image's caption {percent['described_patch_auc_other_caption']}, chance 0.5",
        ),
        ("grounding", "mask_coverage"): Figure(
            label="mask coverage: described pixels in the half of the patches with the highest scores",
            value=percent["mask_coverage"],
            note=f"no caption {percent['mask_coverage_no_caption']}, chance {percent['mask_coverage_random']},"
            f" upper bound {percent['mask_coverage_largest']}",
        ),
        **_phrase_figure(reports["grounding"]),
    }
    return [replace(figure, evidence=_evidence(reports[task], metric)) for (task, metric), figure in figures.items()]


def _phrase_figure(report: Report) -> dict[tuple[str, str], Figure]:
    """Return the figure of noun phrases; none where the report is of an earlier version, which did not measure it."""
    metric = "noun_phrase_average_precision"
    if metric not in report.metrics:
        return {}
    note = ", ".join(
        f"{name} {readable(metric, report.metrics[f'{metric}{suffix}'])}"
        for suffix, name in BASELINES.items()
        if f"{metric}{suffix}" in report.metrics
    )
    label = "noun phrases: patches of the named object ranked first, average precision"
    return {("grounding", metric): Figure(label=label, value=readable(metric, report.metrics[metric]), note=note)}


def _evidence(report: Report, metric: str) -> str:
    """Return the number of test items of a metric, and its confidence interval where it has one."""
    evidence = evidence_of(report, metric)
    if evidence is None:
        return ""
    number = f"N = {evidence.num_items:,} test {evidence.unit.partition(' with ')[0]}s"
    if evidence.interval is None:
        return number
    return f"{number}, 95 % interval {readable_interval(metric, evidence.interval)}"


def _truth_of(source: ScenesSource) -> Callable[[int, str], bool]:
    return lambda index, caption: is_caption_true(caption, source.scene(index))
