"""The tasks that a model can be used for, as its model card lists them. Imports no torch."""

from collections.abc import Iterator

from sycoca.facts.ability_facts import FOLDER, Ability
from sycoca.facts.head_facts import HEADS
from sycoca.weights.config import WeightsConfig
from sycoca.weights.provenance import Provenance

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
    does="reconstructs masked patches of images with the help of their captions",
    pipeline_tag="image-to-image",
    tags=("masked-image-modeling",),
    python=('predictor.reconstruct("photo.jpg", "a dog on a beach")',),
    commands=(),
)


def abilities(config: WeightsConfig, provenance: Provenance) -> tuple[Ability, ...]:
    """Return the tasks that the model can be used for, the one that it was last trained for first.

    Similarities need the contrastive objective; where the objectives are unknown it is assumed to have been on.
    """
    # Fine-tuning a head degrades the other tasks; averaging with the pretrained weights restores much of them.
    is_degraded = _has_head(config) and not provenance.is_mean
    does = {
        **{HEADS[head].ability: names is not None for head, names in config.head_names.items()},
        _CAPTIONS: config.model.text_decoder is not None and not is_degraded,
        _MATCHES: _is_contrastive(provenance) and not is_degraded,
        _REBUILDS: config.model.image_decoder is not None,
    }
    return tuple(ability for ability, can in does.items() if can)


def lost_abilities(config: WeightsConfig, provenance: Provenance) -> Iterator[str]:
    """Yield sentences about tasks that a user may expect of such a model and that it is not good at."""
    if _has_head(config) and provenance.is_mean:
        yield (
            "One of the two averaged models was fine-tuned for a head alone: captions, similarities and the head's"
            " own task may each be worse than in the model that was trained for them. Evaluate the task you need."
        )
    elif _has_head(config):
        yield (
            "Fine-tuning for its head has changed the encoders, without training on captioning and image-text"
            " matching: do not rely on captions and similarities."
        )
    elif not _is_contrastive(provenance):
        yield "The contrastive objective was off: similarities of images and texts, and retrieval, are meaningless."


def _has_head(config: WeightsConfig) -> bool:
    return any(names is not None for names in config.head_names.values())


def _is_contrastive(provenance: Provenance) -> bool:
    return provenance.objectives.get("contrastive", 1.0) != 0
