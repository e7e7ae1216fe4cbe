"""Presets for fine-tuning, one per task, as functions of weights and data. Imports no torch."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from sycoca.objectives.config import ObjectivesConfig
from sycoca.plain_data import did_you_mean
from sycoca.training.config import DataConfig, OptimizerConfig, ScheduleConfig, TrainingConfig
from sycoca.training.recipes.classification.config import FinetuneClassificationConfig
from sycoca.training.recipes.finetune_config import FinetuneConfig
from sycoca.training.recipes.pairs.config import FinetunePairsConfig
from sycoca.training.recipes.vqa.config import FinetuneVqaConfig


def retrieval(weights: str, train: str) -> FinetunePairsConfig:
    """Image-text retrieval, by the contrastive objective; the captioner, where there is one, is trained along with it.

    Source: our own. Command: ``sycoca finetune retrieval WEIGHTS --data.train SPEC``. Learning rates of 1e-5 are usual
    for models of a hundred million parameters (BLIP); small models need higher ones.
    """
    return _pairs("retrieval", weights, train, captioning_weight=1.0, batch_size=128)


def captioning(weights: str, train: str) -> FinetunePairsConfig:
    """Captioning; the contrastive objective stays on, so that retrieval does not degrade.

    Source: our own; one caption per image and epoch, all patches visible. Command: ``sycoca finetune captioning
    WEIGHTS --data.train SPEC``. Learning rates of 1e-5 are usual for models of a hundred million parameters (BLIP);
    small models need higher ones.
    """
    return _pairs("captioning", weights, train, captioning_weight=2.0, batch_size=64)


def vqa(weights: str, train: str) -> FinetuneVqaConfig:
    """Visual question answering, by a new classification head over the most frequent training answers.

    A batch is 32 images with up to 8 questions each.

    Source: CoCa (arXiv 2205.01917, section 4.2.2) for the head, VQA v2's convention for the 3,129 answers, soft targets
    and the loss, the rest our own. Command: ``sycoca finetune vqa WEIGHTS --data.train SPEC``. Learning rates of 2e-5
    are usual for models of a hundred million parameters (BLIP); small models need higher ones.
    """
    return FinetuneVqaConfig(
        task="vqa",
        weights=weights,
        out="runs/finetune-vqa",
        data=DataConfig(train=train),
        optimizer=_optimizer(1e-3),
        schedule=ScheduleConfig(warmup_steps=50),
        training=TrainingConfig(steps=1000, global_batch_size=32, evaluate_every=250, save_every=250),
    )


def classification(weights: str, train: str) -> FinetuneClassificationConfig:
    """Image classification: a new head on the pooled image, trained together with the image encoder.

    Source: MAE's fine-tuning (arXiv 2111.06377, appendix A.1) with weaker regularization, for small models and data:
    layer-wise learning-rate decay, label smoothing, mixup, stochastic depth, and an average of the weights. Command:
    ``sycoca finetune classification WEIGHTS --data.train SPEC``.
    """
    return FinetuneClassificationConfig(
        task="classification",
        weights=weights,
        out="runs/finetune-classification",
        data=DataConfig(train=train),
        label_smoothing=0.1,
        mixup_alpha=0.2,
        drop_path=0.1,
        optimizer=replace(_optimizer(1e-3), layer_decay=0.75),
        schedule=ScheduleConfig(warmup_steps=100),
        training=TrainingConfig(
            steps=1500, global_batch_size=128, average_decay=0.999, evaluate_every=500, save_every=500
        ),
    )


def _pairs(
    task: Literal["retrieval", "captioning"], weights: str, train: str, *, captioning_weight: float, batch_size: int
) -> FinetunePairsConfig:
    return FinetunePairsConfig(
        task=task,
        weights=weights,
        out=f"runs/finetune-{task}",
        data=DataConfig(train=train),
        objectives=ObjectivesConfig(
            contrastive_weight=1.0, captioning_weight=captioning_weight, masked_image_weight=0.0
        ),
        optimizer=_optimizer(1e-4),
        schedule=ScheduleConfig(warmup_steps=100),
        training=TrainingConfig(steps=1000, global_batch_size=batch_size, evaluate_every=250, save_every=250),
    )


def _optimizer(peak_lr: float) -> OptimizerConfig:
    return OptimizerConfig(peak_lr=peak_lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05)


PRESETS: dict[str, Callable[[str, str], FinetuneConfig]] = {
    function.__name__: function for function in (retrieval, captioning, vqa, classification)
}
"""All tasks by name."""


def finetune_preset(task: str, weights: str, train: str) -> FinetuneConfig:
    """Return a task's configuration; ValueError with the closest name where there is none."""
    if task not in PRESETS:
        raise ValueError(f"there is no task {task!r}{did_you_mean(task, list(PRESETS))}")
    return PRESETS[task](weights, train)
