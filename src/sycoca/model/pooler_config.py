"""Configuration of attention pooling, and the check of attention heads. Imports no torch."""

from dataclasses import dataclass

from sycoca.model.forms import POOLERS, PoolerForm, PoolerKind


def check_heads(where: str, width: int, num_heads: int) -> None:
    """Raise ValueError where the width of a component, the field ``where``, cannot be split into that many heads."""
    if num_heads < 1 or width % num_heads:
        raise ValueError(f"{where}.width {width} is not a multiple of num_heads {num_heads}")


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionPoolerConfig:
    """Attention pooling of the patch tokens by learned queries (open_clip's attentional poolers)."""

    kind: PoolerKind = "cascade"
    """single: query 0 is the global feature, the others the text decoder's memory (open_clip's CoCa). parallel: a
    second pooler with one query for the global feature. cascade: the same, but it pools the output of the first
    (CoCa's paper). The last two are as in open_clip's coca2 models, without a projection after pooling."""

    num_queries: int = 256
    """Queries of the pooler that feeds the text decoder."""

    width: int = 512
    """Width of the queries and of the text decoder's memory; with parallel and cascade also size of the joint space."""

    num_heads: int = 8
    """Attention heads."""

    def __post_init__(self) -> None:
        check_heads("model.image_encoder.pooler", self.width, self.num_heads)
        if self.num_queries <= self.form.num_global_queries:
            raise ValueError(
                f"model.image_encoder.pooler.num_queries must be at least {self.form.num_global_queries + 1} with kind"
                f" {self.kind!r} (beside the global feature's), got {self.num_queries}"
            )

    @property
    def form(self) -> PoolerForm:
        """What this kind of pooler is made of."""
        return POOLERS[self.kind]
