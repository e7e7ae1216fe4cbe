"""Configuration of image transforms and tokenizer. Imports no torch, so that presets load fast."""

import math
from dataclasses import dataclass
from typing import Literal, assert_never

ResizeKind = Literal["crop", "squash"]
TokenizerKind = Literal["trained", "clip"]

NUM_SPECIAL_TOKENS = 3
"""Padding, beginning and end of a caption."""

NUM_BYTES = 256
"""Token ids of single bytes, of which all others are made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageTransformConfig:
    """How an image of any size becomes the model's normalized pixels."""

    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    """Mean of red, green and blue for normalization, 0 to 1 (CLIP's)."""

    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    """Standard deviation of red, green and blue for normalization (CLIP's)."""

    resize: ResizeKind = "crop"
    """How an image becomes square at inference. crop: its central square. squash: the whole image, with its aspect
    ratio changed."""

    crop_min_area: float = 0.9
    """Minimum area of a random training crop as a fraction of the image, above 0 and up to 1 (always the whole
    image)."""

    crop_max_aspect: float = 4 / 3
    """Maximum aspect ratio of a random training crop (longer to shorter side), at least 1; with squash relative to
    the image's own aspect ratio. Exceeded where a crop of the drawn area would not fit into the image."""

    flips: bool = False
    """Flip half of the training images horizontally; only where left and right carry no meaning."""

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, self.mean)):
            raise ValueError(f"transforms.mean must be finite numbers, got {self.mean}")
        if not all(0 < value < math.inf for value in self.std):
            raise ValueError(f"transforms.std must be above 0, got {self.std}")
        if not 0 < self.crop_min_area <= 1:
            raise ValueError(f"transforms.crop_min_area must be above 0 and at most 1, got {self.crop_min_area}")
        if not 1 <= self.crop_max_aspect < math.inf:
            raise ValueError(f"transforms.crop_max_aspect must be at least 1, got {self.crop_max_aspect}")


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerConfig:
    """The byte-pair tokenizer."""

    kind: TokenizerKind = "trained"
    """trained: trained on the training captions. clip: CLIP's own 49,408 token ids and one for padding."""

    vocab_size: int = 8192
    """Maximum size of a trained vocabulary, the 256 bytes and 3 special tokens included; few captions give fewer."""

    lowercase: bool = True
    """Lower-case captions before training the tokenizer and encoding; CLIP's always does."""

    def __post_init__(self) -> None:
        least = NUM_BYTES + NUM_SPECIAL_TOKENS
        if self.vocab_size < least:
            raise ValueError(
                f"tokenizer.vocab_size must be at least {least} ({NUM_BYTES} bytes, {NUM_SPECIAL_TOKENS} special"
                f" tokens), got {self.vocab_size}"
            )

    @property
    def trained_ids(self) -> int:
        """Most token ids that are trained; 0 where none are."""
        match self.kind:
            case "trained":
                return self.vocab_size
            case "clip":
                return 0
            case unknown:
                assert_never(unknown)
