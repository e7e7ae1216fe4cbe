"""How captions are generated. Imports no torch, so that commands show their help at once."""

from dataclasses import dataclass
from typing import TypedDict


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationConfig:
    """Greedy by default; ``num_beams`` above 1 searches, ``temperature`` draws at random."""

    num_beams: int = 1
    """Unfinished captions that are kept per image and step; 1 takes the likeliest token each time."""

    length_penalty: float = 1.0
    """Beam search prefers the largest log-likelihood / length ** length_penalty, the length counting the end token:
    1 is the mean per token, 0 the likeliest caption, which tends to be short."""

    temperature: float | None = None
    """Draw each token at random, with logits divided by this; None takes the likeliest."""

    top_k: int | None = None
    """Draw among this many likeliest tokens only."""

    top_p: float | None = None
    """Draw among the likeliest tokens that together reach this probability only."""

    seed: int = 0
    """Where drawing starts; each image draws from the seed and its own place in the list."""

    min_tokens: int = 1
    """Fewest tokens of a caption, its end not counted."""

    max_tokens: int | None = None
    """Most tokens of a caption, its end not counted; None is as many as the model was trained on."""

    def __post_init__(self) -> None:
        if self.num_beams < 1:
            raise ValueError(f"num_beams must be at least 1, got {self.num_beams}")
        if self.min_tokens < 0:
            raise ValueError(f"min_tokens must not be negative, got {self.min_tokens}")
        if self.max_tokens is not None and self.max_tokens < max(1, self.min_tokens):
            raise ValueError(f"max_tokens must be at least {max(1, self.min_tokens)}, got {self.max_tokens}")
        self._check_drawing()

    def _check_drawing(self) -> None:
        if self.temperature is None:
            if self.top_k is not None or self.top_p is not None:
                raise ValueError("top_k and top_p limit what is drawn at random: set a temperature too, 1 for instance")
            return
        if self.temperature <= 0:
            raise ValueError(
                f"temperature must be above 0, got {self.temperature}; leave it out for the likeliest tokens"
            )
        if self.num_beams > 1:
            raise ValueError("beam search draws nothing at random: set num_beams or temperature, not both")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")


class GenerationOptions(TypedDict, total=False):
    """The fields of ``GenerationConfig``, which says what they mean, as keywords of ``Predictor.caption``."""

    num_beams: int
    length_penalty: float
    temperature: float | None
    top_k: int | None
    top_p: float | None
    seed: int
    min_tokens: int
    max_tokens: int | None
