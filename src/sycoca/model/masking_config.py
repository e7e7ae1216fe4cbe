"""Configuration of attentive masking. Imports no torch."""

from dataclasses import dataclass

from sycoca.model.forms import MaskingStrategy, PatchScore


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskingConfig:
    """Which patches are hidden from captioning and which are masked for reconstruction (paper, attentive masking)."""

    strategy: MaskingStrategy = "attentive"
    """attentive: the patches that match the caption best are visible to captioning and masked for reconstruction.
    inverse: those that match it worst. random: patches are chosen at random."""

    score: PatchScore = "token_max"
    """Similarity of a patch to the caption. token_max: maximum cosine over the caption's tokens (paper). caption:
    cosine with the caption's embedding."""

    captioning_hidden_ratio: float = 0.5
    """Fraction of patches hidden from the text decoder, between 0 and 1 (the paper's r_l)."""

    reconstruction_masked_ratio: float = 0.5
    """Fraction of patches masked for reconstruction, between 0 and 1 (the paper's r_h)."""

    hides_from_captioning: bool = True
    """Hide patches from captioning in training; without it the text decoder sees all patches, as in CoCa."""

    def __post_init__(self) -> None:
        for name in ("captioning_hidden_ratio", "reconstruction_masked_ratio"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"masking.{name} must lie between 0 and 1, got {getattr(self, name)}")
