"""``config.json`` of a weights folder, written so that older versions can read whatever they know."""

from collections.abc import Mapping
from typing import Any

from sycoca.plain_data import to_plain
from sycoca.weights.config import FORMAT_VERSION

_NEW_IN_5 = {
    "adapter": None,
    "num_registers": 0,
    "position_embedding": "learned",
    "rope_theta": 100.0,
    "text_encoder.mlp_width": None,
    "text_encoder.norm_eps": 1e-5,
    "has_projection_bias": False,
    "has_bos": True,
    "pad_id": 0,
    "has_logit_bias": False,
    "predicts_features": False,
    "captioning_dropped_share": 0.0,
    "captioning_hidden_share": 1.0,
    "captioning_hidden_until": 1.0,
    "attentive_from": 0.0,
}
"""Fields that format 4 does not have, with the value that stands for its models; after a dot, those of one section."""

_VALUES_NEW_IN_5 = {"activation": ("gelu_tanh", "swiglu"), "pooling": ("map", "last")}
"""Values that format 4 does not have, by the name of the field."""

_OLDER_VERSION = 4

_NOTHING = object()
"""What no field is."""


def versioned_plain(config: object) -> dict[str, Any]:
    """Return a config as plain data with the oldest ``format_version`` that can say it."""
    plain = to_plain(config)
    version = FORMAT_VERSION if _uses_new(plain) else _OLDER_VERSION
    return {"format_version": version, **_without_unused(plain)}


def _uses_new(plain: Mapping[str, Any], section: str = "") -> bool:
    for name, value in plain.items():
        key = _key(name, section)
        if isinstance(value, Mapping) and key not in _NEW_IN_5:
            is_new = _uses_new(value, name)
        else:
            is_new = value != _NEW_IN_5.get(key, value) or value in _VALUES_NEW_IN_5.get(name, ())
        if is_new:
            return True
    return False


def _without_unused(plain: Any, section: str = "") -> Any:
    if not isinstance(plain, Mapping):
        return plain
    kept = {name: value for name, value in plain.items() if value != _NEW_IN_5.get(_key(name, section), _NOTHING)}
    return {name: _without_unused(value, name) for name, value in kept.items()}


def _key(name: str, section: str) -> str:
    """Return the name of a field in `_NEW_IN_5`, with its section where it is new in that one alone."""
    with_section = f"{section}.{name}"
    return with_section if with_section in _NEW_IN_5 else name
