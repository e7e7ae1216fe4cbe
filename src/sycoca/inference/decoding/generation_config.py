"""Options of caption generation. Imports no torch, so that commands show their help at once."""

import math
from dataclasses import dataclass
from typing import Literal, TypedDict

from sycoca.keywords import suggests_fields

DecodingStrategy = Literal["greedy", "beam_search", "sampling"]
"""How the next token is chosen."""


@suggests_fields
@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationConfig:
    """Options of decoding: greedy by default, beam search with ``num_beams`` above 1, sampling with ``temperature``."""

    num_beams: int = 1
    """Beams per image; 1 is greedy decoding."""

    length_penalty: float = 1.0
    """Beam search prefers the largest log-likelihood / length ** length_penalty, the length counting the end token:
    1 compares means per token, 0 log-likelihoods, which favors short captions."""

    temperature: float | None = None
    """Sample tokens, with logits divided by this; None takes the most probable ones."""

    top_k: int | None = None
    """Sample among this many most probable tokens only."""

    top_p: float | None = None
    """Sample among the most probable tokens that together reach this probability only (nucleus sampling)."""

    seed: int = 0
    """Seed of sampling; each image samples from the seed and its index in the list."""

    min_tokens: int = 1
    """Fewest tokens of a caption, the end token not counted."""

    max_tokens: int | None = None
    """Most tokens of a caption, the end token not counted; None is the longest that the model was trained on."""

    guidance_scale: float = 1.0
    """Above 1 captions say more of what tells their image from others: tokens are chosen by scale * log p(token given
    the image) + (1 - scale) * log p(token without it) (classifier-free guidance, arXiv 2307.16686). For models trained
    with objectives.captioning_dropped_share. 1 is off; anything else takes twice the time."""

    def __post_init__(self) -> None:
        if self.num_beams < 1:
            raise ValueError(f"num_beams must be at least 1, got {self.num_beams}")
        if self.min_tokens < 0:
            raise ValueError(f"min_tokens must not be negative, got {self.min_tokens}")
        if self.max_tokens is not None and self.max_tokens < max(1, self.min_tokens):
            raise ValueError(f"max_tokens must be at least {max(1, self.min_tokens)}, got {self.max_tokens}")
        if not math.isfinite(self.length_penalty):
            raise ValueError(f"length_penalty must be a number, got {self.length_penalty}")
        if not 0 <= self.guidance_scale < math.inf:
            raise ValueError(f"guidance_scale must be a number of at least 0, got {self.guidance_scale}")
        self._check_sampling()

    @property
    def strategy(self) -> DecodingStrategy:
        """The decoding strategy that the options lead to."""
        if self.num_beams > 1:
            return "beam_search"
        return "greedy" if self.temperature is None else "sampling"

    @property
    def is_guided(self) -> bool:
        """Whether captions without their image are needed, too."""
        return self.guidance_scale != 1

    @property
    def num_passes(self) -> int:
        """How often every beam is computed: with its image and, for guidance, without it."""
        return 2 if self.is_guided else 1

    def _check_sampling(self) -> None:
        if self.temperature is None:
            if self.top_k is not None or self.top_p is not None:
                raise ValueError("top_k and top_p are options of sampling: set a temperature too, 1 for instance")
            return
        if not 0 < self.temperature < math.inf:
            raise ValueError(
                f"temperature must be above 0 and finite, got {self.temperature}; leave it out for greedy decoding"
            )
        if self.num_beams > 1:
            raise ValueError("beam search does not sample: set num_beams or temperature, not both")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")


class GenerationOptions(TypedDict, total=False):
    """The fields of `GenerationConfig` as keywords of `Predictor.caption`."""

    num_beams: int
    length_penalty: float
    temperature: float | None
    top_k: int | None
    top_p: float | None
    seed: int
    min_tokens: int
    max_tokens: int | None
    guidance_scale: float
