"""The configuration of a run's data. Imports no torch, as the other configurations."""

from dataclasses import dataclass
from typing import Literal

from sycoca.training.runtime_config import check_at_least

OrderKind = Literal["keyed", "table"]
"""How the order of an epoch is drawn: a keyed permutation, or a permuted table as in older runs."""

CachedPrecision = Literal["fp32", "bf16"]
"""What cached features are stored in."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """Training and validation data."""

    train: str
    """Training data as a SPEC: a path, or kind:path?option=value."""

    validation: str | None = None
    """Validation data as a SPEC; None trains without validation."""

    num_workers: int = 0
    """Loader worker processes, at most one per core; 0 loads images in the training process. A worker that dies is
    replaced; after three the run saves and ends."""

    cache_images: bool = False
    """Cache decoded images in memory (in each worker); for data sets that fit, never for more than 200,000 samples."""

    cached_views: int | None = None
    """Random crops per image whose features a frozen image encoder computes once, before training: epoch e trains on
    crop e modulo this number. The features are the encoder's tokens before pooling, in files that runs share. None
    encodes a new crop in every epoch."""

    cached_precision: CachedPrecision = "fp32"
    """Precision of cached features; bf16 takes half of the space."""

    cache_folder: str | None = None
    """Folder of cached features; None: sycoca/features in the user's cache folder (XDG_CACHE_HOME names it). Deleting
    it costs only time."""

    order: OrderKind = "keyed"
    """How each epoch is shuffled. keyed: computed from the seed where it is needed, without a table; shards are read in
    blocks. table: as runs of older versions, which keep it (8 bytes of memory a sample)."""

    generated_caption_ratio: float | None = None
    """Fraction of draws (0 to 1) that take a generated caption, of images that have both kinds; None draws original
    captions only. Generated captions are in the field generated_captions, or in that of ?generated=COLUMN."""

    max_skipped_ratio: float = 0.2
    """Largest fraction of the samples that may be skipped as unusable; one more fails the run. Each is listed in
    skipped.jsonl. With 0 the first unusable sample fails the run."""

    def __post_init__(self) -> None:
        check_at_least("data.num_workers", self.num_workers, 0)
        if self.cached_views is not None:
            check_at_least("data.cached_views", self.cached_views, 1)
        ratio = self.generated_caption_ratio
        if ratio is not None and not 0 <= ratio <= 1:
            raise ValueError(f"data.generated_caption_ratio must be 0 to 1, got {ratio:g}")
        if not 0 <= self.max_skipped_ratio < 1:
            raise ValueError(f"data.max_skipped_ratio must lie between 0 and 1, got {self.max_skipped_ratio}")
