"""The choices of a model's configuration, and what each of them implies for its parts. Imports no torch.

Who adds a choice adds its row here (a test asks for it); pyright then names every ``match`` that computes with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Pooling = Literal["cls", "mean", "max", "attention"]
TextPooling = Literal["cls", "mean", "eos"]
Activation = Literal["gelu", "quick_gelu"]
ClsMask = Literal["correct", "shifted"]
ClsPosition = Literal["last", "row_end"]
PoolerKind = Literal["single", "parallel", "cascade"]
MaskingStrategy = Literal["attentive", "random", "inverse"]
PatchScore = Literal["token_max", "caption"]
MaskTokenPlace = Literal["decoder", "encoder"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolingForm:
    """What a pooling of the patches needs."""

    has_cls_token: bool
    """Whether a [CLS] token goes through the image encoder beside the patches."""

    has_pooler: bool = False
    """Whether attention poolers make the global feature and the text decoder's memory."""

    is_linear: bool = True
    """Whether projecting the pooled features gives the embedding, so that a linear head can equal the text side."""


POOLINGS: Mapping[Pooling, PoolingForm] = {
    "cls": PoolingForm(has_cls_token=True),
    "mean": PoolingForm(has_cls_token=False),
    "max": PoolingForm(has_cls_token=False, is_linear=False),
    "attention": PoolingForm(has_cls_token=True, has_pooler=True),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolerForm:
    """What a kind of attention pooler is made of."""

    has_contrastive_pooler: bool
    """Whether the global feature has a pooler of its own; otherwise query 0 of the memory's pooler is the feature."""

    contrastive_reads_memory: bool = False
    """Whether that pooler reads the memory, and not the tokens."""

    @property
    def num_global_queries(self) -> int:
        """Queries of the memory's pooler that are not memory."""
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

TEXT_POOLINGS_WITH_CLS: Mapping[TextPooling, bool] = {"cls": True, "mean": False, "eos": False}
"""Whether a [CLS] token stands behind the caption, by pooling."""

MASK_TOKENS_IN_IMAGE_ENCODER: Mapping[MaskTokenPlace, bool] = {"decoder": False, "encoder": True}
"""Whether the image encoder sees mask tokens in place of masked patches, by where they stand in."""
