"""The kinds of training: titles, losses and validation metrics. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sycoca.facts.objective_facts import OBJECTIVES, ObjectiveName

FinetuneTask = Literal["retrieval", "captioning", "vqa", "classification"]
"""The tasks that a pretrained model can be fine-tuned for."""

TrainingKind = Literal["pretraining", FinetuneTask]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingFacts:
    """A kind of training."""

    title: str
    """Name for people."""

    losses: tuple[ObjectiveName, ...]
    """The losses that it can minimize."""

    metrics: tuple[str, ...]
    """Keys of its main validation metrics, the most important first."""


_RECALLS = ("text_to_image_recall_at_1", "image_to_text_recall_at_1")
_ON_PAIRS: tuple[ObjectiveName, ...] = ("contrastive", "captioning", "masked_image", "masked_feature", "patch_word")
_TUNED_ON_PAIRS: tuple[ObjectiveName, ...] = tuple(
    name for name, facts in OBJECTIVES.items() if name in _ON_PAIRS and not facts.needs_teacher
)

TRAININGS: Mapping[TrainingKind, TrainingFacts] = {
    "pretraining": TrainingFacts(
        title="pretraining",
        losses=_ON_PAIRS,
        metrics=(*_RECALLS, "described_patch_auc", "mask_coverage"),
    ),
    "retrieval": TrainingFacts(title="fine-tuning for retrieval", losses=_TUNED_ON_PAIRS, metrics=_RECALLS),
    "captioning": TrainingFacts(
        title="fine-tuning for captioning", losses=_TUNED_ON_PAIRS, metrics=("cider", *_RECALLS)
    ),
    "vqa": TrainingFacts(
        title="fine-tuning for VQA", losses=("answering",), metrics=("vqa_accuracy", "answer_accuracy")
    ),
    "classification": TrainingFacts(
        title="fine-tuning for classification",
        losses=("classification",),
        metrics=("accuracy_top_1", "accuracy_top_5"),
    ),
}

SHOWN_METRICS: tuple[str, ...] = tuple(dict.fromkeys(key for facts in TRAININGS.values() for key in facts.metrics))
"""The metrics that progress lines, curves and headlines show, where they are logged."""
