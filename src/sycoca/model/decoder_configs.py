"""Configuration of the two decoders. Imports no torch, so that presets load fast."""

from dataclasses import dataclass

from sycoca.model.forms import MASK_TOKENS_IN_IMAGE_ENCODER, MaskTokenPosition
from sycoca.model.pooler_config import check_heads


@dataclass(frozen=True, kw_only=True, slots=True)
class TextDecoderConfig:
    """The causal transformer over token states that cross-attends to the image and predicts the next token."""

    depth: int = 12
    """Layers, each of self-attention with an MLP and cross-attention with an MLP."""

    num_heads: int = 8
    """Attention heads; the width is the text encoder's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageDecoderConfig:
    """The transformer over patches that cross-attends to the caption and predicts the pixels of masked patches."""

    width: int = 512
    """Features per patch."""

    depth: int = 4
    """Layers, each of self-attention with an MLP and cross-attention with an MLP."""

    num_heads: int = 8
    """Attention heads."""

    is_text_guided: bool = True
    """Attend to the caption; without it the objective is plain masked image modeling."""

    predicts_features: bool = False
    """Predict the image encoder's features of masked patches as well; set by objectives.masked_feature_weight."""

    mask_tokens: MaskTokenPosition = "decoder"
    """Where mask tokens replace masked patches. decoder: the image encoder sees visible patches only, as in MAE, so
    nothing of a masked one can leak. encoder: it sees mask tokens at their positions, as in SimMIM."""

    def __post_init__(self) -> None:
        check_heads("model.image_decoder", self.width, self.num_heads)

    @property
    def masks_in_image_encoder(self) -> bool:
        """Whether the image encoder sees mask tokens, and not the visible patches alone."""
        return MASK_TOKENS_IN_IMAGE_ENCODER[self.mask_tokens]
