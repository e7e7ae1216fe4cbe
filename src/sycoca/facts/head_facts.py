"""The heads that fine-tuning adds to a model: how people call them, and the fields that describe them. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sycoca.facts.ability_facts import FOLDER, Ability
from sycoca.facts.training_facts import TrainingKind

HeadName = Literal["answer_head", "class_head"]
"""A module of the model; the names of its tensors begin so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadFacts:
    """A head."""

    title: str
    """What people call it."""

    size_field: str
    """The field of ``SyCoCaConfig`` with the number of its outputs; None there in a model without the head."""

    names_field: str
    """The field of ``WeightsConfig`` with what its outputs stand for."""

    training: TrainingKind
    """The fine-tuning that adds it."""

    ability: Ability
    """What a model with the head can be used for."""

    @property
    def missing(self) -> str:
        """What is said where a model lacks it."""
        return f"this model has no {self.title}: fine-tune it with sycoca finetune {self.training}"


HEADS: Mapping[HeadName, HeadFacts] = {
    "answer_head": HeadFacts(
        title="head for answers",
        size_field="num_answers",
        names_field="answers",
        training="vqa",
        ability=Ability(
            name="visual question answering",
            does="answers questions about images from a list of answers",
            pipeline_tag="visual-question-answering",
            tags=("visual-question-answering",),
            python=('predictor.ask("photo.jpg", "what color is it?")',),
            commands=(
                f'sycoca ask {FOLDER} photo.jpg "what color is it?"',
                f"sycoca evaluate vqa {FOLDER} --data SPEC",
            ),
        ),
    ),
    "class_head": HeadFacts(
        title="head for classes",
        size_field="num_classes",
        names_field="class_names",
        training="classification",
        ability=Ability(
            name="image classification",
            does="says which of its classes an image belongs to",
            pipeline_tag="image-classification",
            tags=("image-classification",),
            python=('predictor.classify(["photo.jpg"])',),
            commands=(f"sycoca classify {FOLDER} photo.jpg", f"sycoca evaluate classification {FOLDER} --data SPEC"),
        ),
    ),
}
