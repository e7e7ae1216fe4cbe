"""The quickstart's five tasks: evaluation of the pretrained model, and two short fine-tunings."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from sycoca.data.scenes.source import ScenesSource
from sycoca.evaluation.classification import evaluate_classification
from sycoca.evaluation.embeddings import ImageEmbeddings
from sycoca.evaluation.grounding import evaluate_grounding
from sycoca.evaluation.report import Report
from sycoca.evaluation.retrieval import evaluate_retrieval
from sycoca.evaluation.scene_baselines import evaluate_scene_baselines
from sycoca.evaluation.scene_captions import evaluate_scene_captions
from sycoca.evaluation.scene_swaps import evaluate_scene_swaps
from sycoca.evaluation.vqa import evaluate_vqa
from sycoca.evaluation.zero_shot import ZeroShotPrompts, evaluate_zero_shot
from sycoca.inference.load import load
from sycoca.inference.predictor import Predictor
from sycoca.presets.finetune import classification, vqa
from sycoca.training.config import DataConfig, OptimizerConfig, ScheduleConfig, TrainingConfig
from sycoca.training.finetune import finetune
from sycoca.training.recipes.finetune_config import FinetuneConfig
from sycoca.training.run_folder import RunFolder

TRAIN_SCENES = "scenes:?level=easy&count=8000&seed=0"
"""Training data of the fine-tunings: scenes of the pretraining, with questions and classes."""

FIRST_WORDS = (
    *("a {}", "there is a {}", "a picture of a {}"),
    *("an {}", "there is an {}", "a picture of an {}"),  # an orange circle
)
"""Zero-shot prompts in the form in which captions of scenes begin; the likelihoods of all prompts are summed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TunedModel:
    """A finished fine-tuning."""

    weights: Path
    """The fine-tuned model."""

    predictor: Predictor
    """The same, ready to use."""

    report: Report
    """Its evaluation on held-out scenes."""

    training_seconds: float
    """Duration of the training, without evaluation."""


def measure_pretrained(
    predictor: Predictor, source: ScenesSource, with_distractors: ScenesSource, console: Console
) -> dict[str, Report]:
    """Evaluate the tasks that need no fine-tuning; grounding on scenes with an object that no caption names."""
    embeddings = ImageEmbeddings(predictor, console=console)
    by_likelihood = ZeroShotPrompts(templates=FIRST_WORDS, scorer="likelihood")
    return {
        "retrieval": evaluate_retrieval(predictor, source, embeddings=embeddings, console=console),
        "captioning": evaluate_scene_captions(predictor, source, console=console),
        "zero_shot": evaluate_zero_shot(predictor, source, prompts=by_likelihood, console=console),
        "swaps": evaluate_scene_swaps(predictor, source, console=console),
        "grounding": evaluate_grounding(predictor, with_distractors, console=console),
        "baselines": evaluate_scene_baselines(source),
    }


def tune_for_questions(
    weights: Path, out: Path, source: ScenesSource, *, seed: int, steps: int | None, console: Console
) -> TunedModel:
    """Fine-tune to answer questions about scenes, and evaluate on ``source``."""
    config = replace(
        vqa(str(weights), TRAIN_SCENES),
        loss="cross_entropy",  # every question has one answer
        optimizer=OptimizerConfig(peak_lr=7e-4, betas=(0.9, 0.98), weight_decay=0.05),
    )
    tuning = TrainingConfig(steps=550 if steps is None else steps, global_batch_size=32, log_every=20, report=False)
    return _tuned(replace(config, out=str(out), seed=seed, training=tuning), evaluate_vqa, source, console)


def tune_for_classes(
    weights: Path, out: Path, source: ScenesSource, *, seed: int, steps: int | None, console: Console
) -> TunedModel:
    """Fine-tune to classify the largest object, and evaluate on ``source``."""
    config = replace(
        classification(str(weights), TRAIN_SCENES),
        # A mixture of two scenes is not a valid scene.
        mixup_alpha=None,
        drop_path=None,
        label_smoothing=None,
        optimizer=OptimizerConfig(peak_lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05),
    )
    tuning = TrainingConfig(steps=200 if steps is None else steps, global_batch_size=128, log_every=20, report=False)
    return _tuned(replace(config, out=str(out), seed=seed, training=tuning), evaluate_classification, source, console)


def _tuned(
    config: FinetuneConfig, evaluate: Callable[..., Report], source: ScenesSource, console: Console
) -> TunedModel:
    """Fine-tune on the training scenes and evaluate."""
    started_at = time.perf_counter()
    data, schedule = DataConfig(train=TRAIN_SCENES, cache_images=True), ScheduleConfig(warmup_steps=20)
    run = RunFolder(finetune(replace(config, data=data, schedule=schedule), console=console))
    training_seconds = time.perf_counter() - started_at
    predictor = load(run.weights)
    report = evaluate(predictor, source, console=console)
    return TunedModel(weights=run.weights, predictor=predictor, report=report, training_seconds=training_seconds)
