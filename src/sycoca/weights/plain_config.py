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
    "has_logit_bias": False,
    "predicts_features": False,
    "captioning_dropped_share": 0.0,
    "captioning_hidden_share": 1.0,
    "captioning_hidden_until": 1.0,
    "attentive_from": 0.0,
}
"""Fields that format 4 does not have, with the value that stands for its models."""

_VALUES_NEW_IN_5 = ("gelu_tanh", "swiglu", "map")
"""Values that format 4 does not have."""

_OLDER_VERSION = 4


def versioned_plain(config: object) -> dict[str, Any]:
    """Return a config as plain data with the oldest ``format_version`` that can say it."""
    plain = to_plain(config)
    is_older = not _uses_new(plain)
    return {"format_version": _OLDER_VERSION if is_older else FORMAT_VERSION, **_without_unused(plain)}


def _uses_new(plain: Any) -> bool:
    if not isinstance(plain, Mapping):
        return plain in _VALUES_NEW_IN_5
    return any(value != _NEW_IN_5[name] if name in _NEW_IN_5 else _uses_new(value) for name, value in plain.items())


def _without_unused(plain: Any) -> Any:
    if not isinstance(plain, Mapping):
        return plain
    return {
        name: _without_unused(value)
        for name, value in plain.items()
        if name not in _NEW_IN_5 or value != _NEW_IN_5[name]
    }
