"""What the server says of itself: the model's abilities, its limits, examples to try."""

import base64
import io
import re
from collections.abc import Mapping, Sized
from dataclasses import asdict

from pydantic import BaseModel

from sycoca.data.scenes.source import ScenesSource
from sycoca.facts.input_limits import input_limit
from sycoca.facts.limit_facts import PartName
from sycoca.inference.predictor import Predictor
from sycoca.serve.settings import Access, ServeSettings
from sycoca.weights.limits import has_part, why_missing

NUM_EXAMPLES = 6

_SHAPES = ("red circle", "blue square", "green triangle", "yellow cross")
_SUBJECTS = ("a person", "an animal", "a building", "food", "a landscape")
"""Classes to try, for weights that know scenes only and for others."""

ABILITIES = ("caption", "embed", "search", "ask", "classify", "explain", "reconstruct")
"""What a server may be able to do: the paths of the interface, and /explain's reconstruction."""

_NEEDED_PARTS: Mapping[str, PartName] = {
    "caption": "text_decoder",
    "ask": "text_decoder",  # or a list of answers
    "reconstruct": "image_decoder",
}

_WITHOUT_INDEX = (
    "this server has no index to search: `sycoca index` makes one, and `sycoca serve WEIGHTS --index INDEX` serves it"
)

_TRAINED_ON_SCENES = re.compile(r" samples on `scenes[:-]")
"""What a sentence of a history says where the data are the built-in scenes, see `run_provenance`."""

_SCENES_NOTICE = "These weights know colored shapes only, not photos."


class Info(BaseModel):
    """The server and its model."""

    weights: str
    """Name of the weights."""

    abilities: dict[str, bool]
    """By path whether the model can do it."""

    absent: dict[str, str]
    """By path why the model cannot do it."""

    class_names: list[str]
    """Classes to try; none where the model has a head with classes of its own."""

    notice: str | None
    """What to know before the answers are believed."""

    index: dict[str, object] | None
    """The index that is searched."""

    limits: dict[str, int | float]
    """The limits of the server, by the names of its settings."""

    token_required: bool
    """Whether requests need a token."""


class Example(BaseModel):
    """An image to try."""

    name: str
    """Its name."""

    image: str
    """A PNG as a data URL."""

    captions: list[str]
    """Captions of it."""


def information(
    predictor: Predictor, index: Sized | None, settings: ServeSettings, access: Access, *, name: str
) -> Info:
    """Return what the server says of itself."""
    absent = absences(predictor, has_index=index is not None)
    return Info(
        weights=name,
        abilities={path: path not in absent for path in ABILITIES},
        absent=absent,
        class_names=_class_names(predictor),
        notice=_notice(predictor),
        index=None if index is None else {"images": len(index)},
        limits=asdict(settings) | {"decoded_bytes": input_limit("decoded_bytes")},
        token_required=access.token is not None,
    )


def absences(predictor: Predictor, *, has_index: bool) -> dict[str, str]:
    """Return by path why the server cannot answer there."""
    config = predictor.config
    reasons: dict[str, str] = {}
    for path, part in _NEEDED_PARTS.items():
        if not has_part(config.model, part):
            reasons[path] = why_missing(config, part)
    if config.answers is not None:
        reasons.pop("ask", None)
    if not has_index:
        reasons["search"] = _WITHOUT_INDEX
    return reasons


def examples(image_size: int) -> list[Example]:
    """Return some of the built-in scenes."""
    source = ScenesSource(level="easy", count=NUM_EXAMPLES, split="test", size=max(64, min(image_size, 256)))
    found = []
    for index in range(len(source)):
        sample, file = source[index], io.BytesIO()
        sample.open_image().save(file, "PNG")
        address = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
        found.append(Example(name=sample.key, image=address, captions=list(sample.captions)))
    return found


def _class_names(predictor: Predictor) -> list[str]:
    if predictor.config.class_names is not None:
        return []
    return list(_SHAPES if _knows_scenes_only(predictor) else _SUBJECTS)


def _notice(predictor: Predictor) -> str | None:
    """Return what the weights' history and limits say against believing the answers."""
    cautions = predictor.cautions("captions", "similarities")
    scenes = [_SCENES_NOTICE] if _knows_scenes_only(predictor) else []
    return " ".join([*scenes, *(f"{one[0].upper()}{one[1:]}." for one in cautions)]) or None


def _knows_scenes_only(predictor: Predictor) -> bool:
    """Return whether all training that the weights' history tells of was on the built-in scenes."""
    history = predictor.config.history
    return bool(history) and all(_TRAINED_ON_SCENES.search(sentence) for sentence in history)
