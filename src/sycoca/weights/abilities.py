"""What a model can be used for, and how a model card says so. Imports no torch."""

from collections.abc import Iterator
from dataclasses import dataclass

from sycoca.weights.config import WeightsConfig
from sycoca.weights.provenance import Provenance

FOLDER = "path/of/this/folder"
"""Stands for the weights folder in lines to copy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ability:
    """One thing that a model does."""

    name: str
    """What the task is called."""

    does: str
    """As part of a sentence about the model."""

    pipeline_tag: str
    """The Hub's word for the task."""

    tags: tuple[str, ...]
    """What people search for."""

    python: tuple[str, ...]
    """Lines with a ``predictor``."""

    commands: tuple[str, ...]
    """Lines for a shell."""


_CLASSIFIES = Ability(
    name="image classification",
    does="says which of its classes an image belongs to",
    pipeline_tag="image-classification",
    tags=("image-classification",),
    python=('predictor.classify(["photo.jpg"])',),
    commands=(f"sycoca classify {FOLDER} photo.jpg", f"sycoca evaluate classification {FOLDER} --data SPEC"),
)
_ANSWERS = Ability(
    name="visual question answering",
    does="answers questions about images from a list of answers",
    pipeline_tag="visual-question-answering",
    tags=("visual-question-answering",),
    python=('predictor.ask("photo.jpg", "what color is it?")',),
    commands=(
        f'sycoca ask {FOLDER} photo.jpg "what color is it?"',
        f"sycoca evaluate vqa {FOLDER} --data SPEC",
    ),
)
_CAPTIONS = Ability(
    name="image captioning",
    does="describes images",
    pipeline_tag="image-to-text",
    tags=("image-captioning",),
    python=(
        'predictor.caption(["photo.jpg"], num_beams=4)',
        'predictor.caption_log_likelihood(["photo.jpg"], ["a dog on a beach"])',
    ),
    commands=(
        f"sycoca caption {FOLDER} photo.jpg --num-beams 4",
        f"sycoca evaluate captioning {FOLDER} --data SPEC",
    ),
)
_MATCHES = Ability(
    name="image-text retrieval",
    does="finds images by texts and texts by images",
    pipeline_tag="zero-shot-image-classification",
    tags=("image-text-retrieval", "zero-shot-image-classification"),
    python=(
        'predictor.similarity(["photo.jpg"], ["a dog on a beach", "a red circle"])',
        'predictor.classify(["photo.jpg"], class_names=["dog", "cat"])',
    ),
    commands=(
        f'sycoca explain {FOLDER} photo.jpg "a dog on a beach" --out explained.png',
        f"sycoca evaluate retrieval {FOLDER} --data SPEC",
    ),
)
_REBUILDS = Ability(
    name="masked image modeling",
    does="rebuilds masked patches of images from their captions",
    pipeline_tag="image-to-image",
    tags=("masked-image-modeling",),
    python=('predictor.reconstruct("photo.jpg", "a dog on a beach")',),
    commands=(),
)


def abilities(config: WeightsConfig, origin: Provenance) -> tuple[Ability, ...]:
    """Return what the model can do, what it was made for first.

    Without the contrastive objective similarities mean nothing; one of which nothing is known is taken for trained.
    """
    # What a head is trained for spoils the rest; a mean brings much of it back.
    is_spoilt = _has_head(config) and not origin.is_mean
    does = {
        _ANSWERS: config.answers is not None,
        _CLASSIFIES: config.class_names is not None,
        _CAPTIONS: config.model.text_decoder is not None and not is_spoilt,
        _MATCHES: _is_contrastive(origin) and not is_spoilt,
        _REBUILDS: config.model.image_decoder is not None,
    }
    return tuple(ability for ability, can in does.items() if can)


def lost_abilities(config: WeightsConfig, origin: Provenance) -> Iterator[str]:
    """Yield sentences about what a user may expect of such a model and does not get."""
    if _has_head(config) and origin.is_mean:
        yield (
            "One of the two that it lies between was trained for a head alone: captions, similarities and the head's"
            " own task may each be worse than in the one that was trained for them. Measure what you need."
        )
    elif _has_head(config):
        yield (
            "Training for its head has changed the encoders: what they knew about captions and about matching images"
            " with texts was not kept up and is not to be relied on."
        )
    elif not _is_contrastive(origin):
        yield "The contrastive objective was off: similarities of images and texts, and search by them, mean nothing."


def _has_head(config: WeightsConfig) -> bool:
    return config.answers is not None or config.class_names is not None


def _is_contrastive(origin: Provenance) -> bool:
    return origin.objectives.get("contrastive", 1.0) != 0
