"""The tasks that a model can be used for, as its model card lists them. Imports no torch."""

from collections.abc import Mapping

from sycoca.facts.ability_facts import FOLDER, Ability
from sycoca.facts.head_facts import HEADS
from sycoca.facts.limit_facts import SPOILED
from sycoca.facts.objective_facts import ObjectiveName
from sycoca.weights.config import WeightsConfig
from sycoca.weights.limits import limits_of

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


def abilities(config: WeightsConfig, objectives: Mapping[ObjectiveName, float]) -> tuple[Ability, ...]:
    """Return the tasks that the model can be used for, the one that it was last trained for first.

    ``objectives`` are the weights of those of its training, where they are known.
    """
    lost = {one.ability for one in limits_of(config, objectives).spoiled if not SPOILED[one.reason].is_usable}
    does = {
        **{HEADS[head].ability: names is not None for head, names in config.head_names.items()},
        _CAPTIONS: config.model.text_decoder is not None and "captions" not in lost,
        _MATCHES: "similarities" not in lost,
        _REBUILDS: config.model.image_decoder is not None,
    }
    return tuple(ability for ability, can in does.items() if can)
