"""The quickstart's five tasks: evaluation of the pretrained model, and two short fine-tunings."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rich.console import Console

from sycoca.data.scenes.source import ScenesSource
from sycoca.evaluation.classification import evaluate_classification
from sycoca.evaluation.embeddings import ImageEmbeddings
from sycoca.evaluation.phrase_grounding import evaluate_grounding_and_phrases
from sycoca.evaluation.report import Report
from sycoca.evaluation.retrieval import evaluate_retrieval
from sycoca.evaluation.scene_baselines import evaluate_scene_baselines
from sycoca.evaluation.scene_captions import evaluate_scene_captions
from sycoca.evaluation.scene_swaps import evaluate_scene_swaps
from sycoca.evaluation.vqa import evaluate_vqa
from sycoca.evaluation.zero_shot import ZeroShotPrompts, evaluate_zero_shot
from sycoca.experiments.quickstart.progress import QuickstartOptions, QuickstartProgress
from sycoca.inference.load import load
from sycoca.inference.predictor import Predictor
from sycoca.presets.finetune import classification, vqa
from sycoca.training.config import DataConfig, OptimizerConfig, ScheduleConfig, TrainingConfig
from sycoca.training.finetune import finetune, resume_finetuning
from sycoca.training.recipes.finetune_config import FinetuneConfig

TRAIN_SCENES = "scenes:?level=easy&count=8000&seed=0"
"""Training data of the fine-tunings: scenes of the pretraining, with questions and classes."""

SAVE_EVERY = 100
"""Steps between two checkpoints: what a killed quickstart repeats takes half a minute at most."""

FIRST_WORDS = (
    *("a {}", "there is a {}", "a picture of a {}"),
    *("an {}", "there is an {}", "a picture of an {}"),  # an orange circle
)
"""Zero-shot prompts in the form in which captions of scenes begin; the likelihoods of all prompts are summed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TunedModel:
    """A fine-tuned model and its evaluation."""

    predictor: Predictor
    """The model."""

    report: Report
    """Its evaluation on held-out scenes."""


def measure_pretrained(
    predictor: Predictor,
    source: ScenesSource,
    with_distractors: ScenesSource,
    progress: QuickstartProgress,
    console: Console,
) -> dict[str, Report]:
    """Evaluate the tasks that need no fine-tuning; grounding on scenes with an object that no caption names."""
    embeddings = ImageEmbeddings(predictor, console=console)
    by_likelihood = ZeroShotPrompts(templates=FIRST_WORDS, scorer="likelihood")
    evaluations: dict[str, Callable[[], Report]] = {
        "retrieval": lambda: evaluate_retrieval(predictor, source, embeddings=embeddings, console=console),
        "captioning": lambda: evaluate_scene_captions(predictor, source, console=console),
        "zero_shot": lambda: evaluate_zero_shot(predictor, source, prompts=by_likelihood, console=console),
        "swaps": lambda: evaluate_scene_swaps(predictor, source, console=console),
        "grounding": lambda: evaluate_grounding_and_phrases(predictor, with_distractors, console=console),
        "baselines": lambda: evaluate_scene_baselines(source),
    }
    return {name: progress.report(name, evaluate) for name, evaluate in evaluations.items()}


def tune_for_questions(
    weights: Path, progress: QuickstartProgress, source: ScenesSource, options: QuickstartOptions, console: Console
) -> TunedModel:
    """Fine-tune to answer questions about scenes, and evaluate on ``source``."""
    config = replace(
        vqa(str(weights), TRAIN_SCENES),
        loss="cross_entropy",  # every question has one answer
        optimizer=OptimizerConfig(peak_lr=7e-4, betas=(0.9, 0.98), weight_decay=0.05),
        training=TrainingConfig(
            steps=options.steps_of(550), global_batch_size=32, log_every=20, save_every=SAVE_EVERY, report=False
        ),
        seed=options.seed,
    )
    return _tuned("vqa", config, lambda model: evaluate_vqa(model, source, console=console), progress, console)


def tune_for_classes(
    weights: Path, progress: QuickstartProgress, source: ScenesSource, options: QuickstartOptions, console: Console
) -> TunedModel:
    """Fine-tune to classify the largest object, and evaluate on ``source``."""
    config = replace(
        classification(str(weights), TRAIN_SCENES),
        # A mixture of two scenes is not a valid scene.
        mixup_alpha=None,
        drop_path=None,
        label_smoothing=None,
        optimizer=OptimizerConfig(peak_lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05),
        training=TrainingConfig(
            steps=options.steps_of(200), global_batch_size=128, log_every=20, save_every=SAVE_EVERY, report=False
        ),
        seed=options.seed,
    )
    return _tuned(
        "classification",
        config,
        lambda model: evaluate_classification(model, source, console=console),
        progress,
        console,
    )


def _tuned(
    task: Literal["vqa", "classification"],
    config: FinetuneConfig,
    evaluate: Callable[[Predictor], Report],
    progress: QuickstartProgress,
    console: Console,
) -> TunedModel:
    """Fine-tune on the training scenes and evaluate, as far as that is not done."""
    run = progress.folder(task)
    config = replace(
        config,
        out=str(run.path),
        data=DataConfig(train=TRAIN_SCENES, cache_images=True),
        schedule=ScheduleConfig(warmup_steps=20),
    )
    progress.train(
        task,
        start=lambda: finetune(config, console=console),
        resume=lambda: resume_finetuning(config, console=console),
    )
    predictor = load(run.weights)
    return TunedModel(predictor=predictor, report=progress.report(task, lambda: evaluate(predictor)))
