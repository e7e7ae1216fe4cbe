"""What the server says of itself: the model's abilities, its limits, examples to try."""

import base64
import io
import re
from collections.abc import Sized
from dataclasses import asdict

from pydantic import BaseModel

from sycoca.data.scenes.source import ScenesSource
from sycoca.facts.input_limits import input_limit
from sycoca.inference.predictor import Predictor
from sycoca.serve.settings import Access, ServeSettings
from sycoca.weights.limits import has_part

NUM_EXAMPLES = 6

_TRAINED_ON_SCENES = re.compile(r" samples on `scenes[:-]")
"""What a sentence of a history says where the data are the built-in scenes, see `run_provenance`."""

_SCENES_NOTICE = "These weights know colored shapes only, not photos."


class Info(BaseModel):
    """The server and its model."""

    weights: str
    """Name of the weights."""

    abilities: dict[str, bool]
    """By path whether the model can do it."""

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
    return Info(
        weights=name,
        abilities=abilities(predictor, has_index=index is not None),
        notice=_notice(predictor),
        index=None if index is None else {"images": len(index)},
        limits=asdict(settings) | {"decoded_bytes": input_limit("decoded_bytes")},
        token_required=access.token is not None,
    )


def abilities(predictor: Predictor, *, has_index: bool) -> dict[str, bool]:
    """Return by path whether the server can answer there."""
    config = predictor.config
    can_write = has_part(config.model, "text_decoder")
    return {
        "caption": can_write,
        "embed": True,
        "search": has_index,
        "ask": can_write or config.answers is not None,
        "classify": True,
        "explain": True,
        "reconstruct": has_part(config.model, "image_decoder"),
    }


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


def _notice(predictor: Predictor) -> str | None:
    """Return what the weights' history and limits say against believing the answers."""
    cautions = predictor.cautions("captions", "similarities")
    scenes = [_SCENES_NOTICE] if _knows_scenes_only(predictor) else []
    return " ".join([*scenes, *(f"{one[0].upper()}{one[1:]}." for one in cautions)]) or None


def _knows_scenes_only(predictor: Predictor) -> bool:
    """Return whether all training that the weights' history tells of was on the built-in scenes."""
    history = predictor.config.history
    return bool(history) and all(_TRAINED_ON_SCENES.search(sentence) for sentence in history)
