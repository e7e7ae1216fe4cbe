"""The quickstart's HTML page: the report of its pretraining, with all five tasks."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from sycoca.data.scenes.source import ScenesSource
from sycoca.evaluation.report import Report, readable
from sycoca.evaluation.scene_captions import is_caption_true
from sycoca.experiments.quickstart.tasks import TunedModel
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
    """What became of the pretrained model."""

    vqa: TunedModel
    """It answers questions."""

    classification: TunedModel
    """It names the largest object."""


def quickstart_page(
    config: PretrainConfig,
    folder: RunFolder,
    predictor: Predictor,
    source: ScenesSource,
    tuned: TunedModels,
    reports: dict[str, Report],
    metrics: dict[str, float],
) -> Page:
    """Return the page: figures, curves, what all three models do with held-out scenes, every number."""
    samples = [source[i] for i in range(len(source))]
    recipe = Pretraining(config)
    with Runtime(config.runtime) as runtime:
        record = run_record(
            recipe, folder, recipe.open_sources(), runtime, num_parameters=predictor.model.num_parameters
        )
    return replace(
        run_page(record, None),
        title="SyCoCa quickstart",
        kind="from nothing to five measured tasks",
        summary=(
            f"A model of {predictor.model.num_parameters:,} parameters, trained from nothing on"
            f" generated scenes for {config.training.steps:,} steps of {config.training.global_batch_size} pairs in"
            f" {metrics['training_seconds'] / 60:.1f} minutes, fine-tuned for questions and for classes in another"
            f" {metrics['fine_tuning_seconds'] / 60:.1f}, and measured on {len(source)} scenes with contents that it"
            " has never seen."
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
    shares = {
        **metrics,
        **reports["grounding"].metrics,
        **reports["vqa"].metrics,
        "recall_by_chance": 10 / reports["retrieval"].counts["images"],
        "class_by_chance": 1 / reports["zero_shot"].counts["classes"],
    }
    percent = {name: readable(name, share) for name, share in shares.items() if not name.endswith("_seconds")}
    return [
        Figure(
            label="caption finds its image, R@1",
            value=percent["text_to_image_recall_at_1"],
            note=f"{percent['text_to_image_recall_at_1_color_only']} by matching colors alone,"
            f" at most {percent['text_to_image_recall_at_1_ceiling']}; R@10"
            f" {percent['text_to_image_recall_at_10']}, {percent['recall_by_chance']} by chance",
        ),
        Figure(
            label="captions that are true",
            value=percent["caption_truth"],
            note=f"{percent['caption_truth_most_frequent']} by the most frequent caption",
        ),
        Figure(
            label="questions answered right",
            value=percent["answer_accuracy"],
            note=f"{percent['answer_accuracy_most_frequent']} by always giving the most frequent answer",
        ),
        Figure(
            label="classes found, zero-shot",
            value=percent["zero_shot_accuracy_top_1"],
            note=f"{percent['class_by_chance']} by chance; {percent['classification_accuracy_top_1']} fine-tuned",
        ),
        Figure(
            label="captions preferred to themselves with parts exchanged",
            value=percent["swap_accuracy"],
            note="50 % by chance, and for a bag of words",
        ),
        Figure(
            label="described pixels in the better half, mask coverage",
            value=percent["mask_coverage"],
            note=f"{percent['mask_coverage_random']} by chance, {percent['mask_coverage_largest']} at best",
        ),
    ]


def _truth_of(source: ScenesSource) -> Callable[[int, str], bool]:
    return lambda index, caption: is_caption_true(caption, source.scene(index))
