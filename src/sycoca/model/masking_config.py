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

    captioning_hidden_share: float = 1.0
    """Fraction of images from whose captions patches are hidden, drawn per image; the text decoder sees all patches of
    the others, as it does at inference. Above 0 (hides_from_captioning false hides nothing); 1: all images (paper)."""

    captioning_hidden_until: float = 1.0
    """Fraction of training after which nothing is hidden from captioning any more: the rest trains the text decoder as
    inference uses it. Above 0 (hides_from_captioning false hides nothing); 1: patches are hidden to the end (paper)."""

    attentive_from: float = 0.0
    """Fraction of training before which patches are chosen at random, as by strategy random, since scores mean nothing
    at first. Below 1 (strategy random is random to the end); 0: chosen by score from the first step (paper)."""

    def __post_init__(self) -> None:
        for name in ("captioning_hidden_ratio", "reconstruction_masked_ratio"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"masking.{name} must lie between 0 and 1, got {getattr(self, name)}")
        for name in ("captioning_hidden_share", "captioning_hidden_until"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(
                    f"masking.{name} must be above 0 and at most 1, got {getattr(self, name)}; to hide nothing from"
                    " captioning, set masking.hides_from_captioning to false"
                )
        if not 0 <= self.attentive_from < 1:
            raise ValueError(
                f"masking.attentive_from must be at least 0 and below 1, got {self.attentive_from}; for random patches"
                " to the end, set masking.strategy to random"
            )
