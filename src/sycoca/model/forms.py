"""The options of a model's configuration, and which components each of them needs. Imports no torch.

A new option needs a row here (a test checks it); pyright then reports every ``match`` that has to handle it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Pooling = Literal["cls", "mean", "max", "attention", "map"]
TextPooling = Literal["cls", "mean", "eos", "last"]
Activation = Literal["gelu", "quick_gelu", "gelu_tanh", "swiglu"]
PositionEmbedding = Literal["learned", "rotary"]
ClsMask = Literal["correct", "shifted"]
ClsPosition = Literal["last", "row_end"]
PoolerKind = Literal["single", "parallel", "cascade"]
MaskingStrategy = Literal["attentive", "random", "inverse"]
PatchScore = Literal["token_max", "caption"]
MaskTokenPosition = Literal["decoder", "encoder"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolingForm:
    """Properties of a pooling of the patches."""

    has_cls_token: bool
    """Whether the image encoder has a [CLS] token."""

    has_pooler: bool = False
    """Whether attention poolers compute the global feature and the text decoder's memory."""

    has_map_head: bool = False
    """Whether one learned query with an MLP computes the global feature, and nothing else."""

    is_linear: bool = True
    """Whether projecting the pooled features gives the embedding, so that a linear head can hold text embeddings."""


POOLINGS: Mapping[Pooling, PoolingForm] = {
    "cls": PoolingForm(has_cls_token=True),
    "mean": PoolingForm(has_cls_token=False),
    "max": PoolingForm(has_cls_token=False, is_linear=False),
    "attention": PoolingForm(has_cls_token=True, has_pooler=True),
    "map": PoolingForm(has_cls_token=False, has_map_head=True),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolerForm:
    """Properties of a kind of attention pooling."""

    has_contrastive_pooler: bool
    """Whether a separate pooler computes the global feature; otherwise it is query 0 of the memory's pooler."""

    contrastive_reads_memory: bool = False
    """Whether that pooler pools the memory instead of the tokens."""

    @property
    def num_global_queries(self) -> int:
        """Queries of the memory's pooler that give the global feature."""
        return 0 if self.has_contrastive_pooler else 1

    @property
    def has_memory_pooler_of_its_own(self) -> bool:
        """Whether a pooler serves the text decoder alone, so that it gets no gradient without captioning."""
        return self.has_contrastive_pooler and not self.contrastive_reads_memory


POOLERS: Mapping[PoolerKind, PoolerForm] = {
    "single": PoolerForm(has_contrastive_pooler=False),
    "parallel": PoolerForm(has_contrastive_pooler=True),
    "cascade": PoolerForm(has_contrastive_pooler=True, contrastive_reads_memory=True),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class TextPoolingForm:
    """Properties of a pooling of the tokens."""

    has_cls_token: bool = False
    """Whether a [CLS] token follows the caption."""

    is_causal: bool = True
    """Whether a token attends to itself and those before it alone, as captioning needs; otherwise every position of
    the whole context attends to all of them, padding included."""


TEXT_POOLINGS: Mapping[TextPooling, TextPoolingForm] = {
    "cls": TextPoolingForm(has_cls_token=True),
    "mean": TextPoolingForm(),
    "eos": TextPoolingForm(),
    "last": TextPoolingForm(is_causal=False),
}

GATED: Mapping[Activation, bool] = {"gelu": False, "quick_gelu": False, "gelu_tanh": False, "swiglu": True}
"""Whether one half of an MLP's hidden features is the gate of the other, by activation."""

LEARNED_POSITIONS: Mapping[PositionEmbedding, bool] = {"learned": True, "rotary": False}
"""Whether each position has a learned vector, by position embedding."""

MASK_TOKENS_IN_IMAGE_ENCODER: Mapping[MaskTokenPosition, bool] = {"decoder": False, "encoder": True}
"""Whether the image encoder sees mask tokens instead of masked patches, by ``mask_tokens``."""
