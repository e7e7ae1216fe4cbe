"""SyCoCa: contrastive captioners made symmetric, with attentive masking (arXiv 2401.02137)."""

import importlib
import logging
from typing import TYPE_CHECKING, Any

from sycoca._version import __version__

if TYPE_CHECKING:
    from sycoca.evaluation.evaluate_all import evaluate_all
    from sycoca.evaluation.filter_pairs import filter_pairs
    from sycoca.inference.caption_set import caption_set
    from sycoca.inference.load import load
    from sycoca.inference.predictor import Predictor
    from sycoca.mapping.functions import map_captions, map_embeddings, map_filter, map_scores
    from sycoca.model.config import SyCoCaConfig
    from sycoca.model.sycoca import SyCoCa
    from sycoca.search.build import index_images
    from sycoca.search.image_index import open_index
    from sycoca.training.pretrain import pretrain
    from sycoca.weights.publishing import push_to_hub

__all__ = [
    "Predictor",
    "SyCoCa",
    "SyCoCaConfig",
    "__version__",
    "caption_set",
    "evaluate_all",
    "filter_pairs",
    "index_images",
    "load",
    "map_captions",
    "map_embeddings",
    "map_filter",
    "map_scores",
    "open_index",
    "pretrain",
    "push_to_hub",
]

_HOMES = {
    "Predictor": "sycoca.inference.predictor",
    "SyCoCa": "sycoca.model.sycoca",
    "SyCoCaConfig": "sycoca.model.config",
    "caption_set": "sycoca.inference.caption_set",
    "evaluate_all": "sycoca.evaluation.evaluate_all",
    "filter_pairs": "sycoca.evaluation.filter_pairs",
    "index_images": "sycoca.search.build",
    "load": "sycoca.inference.load",
    "map_captions": "sycoca.mapping.functions",
    "map_embeddings": "sycoca.mapping.functions",
    "map_filter": "sycoca.mapping.functions",
    "map_scores": "sycoca.mapping.functions",
    "open_index": "sycoca.search.image_index",
    "pretrain": "sycoca.training.pretrain",
    "push_to_hub": "sycoca.weights.publishing",
}
"""Where the public names live; torch is imported when one that needs it is first used (PEP 562)."""

# Whoever imports the library decides whether its messages are shown.
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sycoca' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
