"""What decoding keeps from token to token."""

from typing import final

from jaxtyping import Int
from torch import Tensor

from sycoca.model.key_value_cache import KeyValueCache
from sycoca.model.packed_matrices import PackedMatrices
from sycoca.model.text_decoder import KeysValues


@final
class DecodingState:
    """The state of caption decoding: self-attention caches, and the cross-attention keys and values of every image.

    Rows are image-major: ``rows_per_image`` beams or samples of the first image, then those of the second.
    """

    def __init__(
        self, text_caches: list[KeyValueCache], decoder_caches: list[KeyValueCache], memory: list[KeysValues]
    ) -> None:
        self.text_caches = text_caches
        self.decoder_caches = decoder_caches
        self.memory = memory
        self.matrices: PackedMatrices | None = None
        """Made at the first token, when the number of rows is known."""

    @property
    def num_tokens(self) -> int:
        """Tokens seen so far."""
        return self.text_caches[0].num_tokens

    def reorder(self, rows: Int[Tensor, " rows"]) -> None:
        """Replace row i by row ``rows[i]`` of the same image, as beam search does."""
        for cache in (*self.text_caches, *self.decoder_caches):
            cache.reorder(rows)

    def keep_images(self, images: Int[Tensor, " images"], rows: Int[Tensor, " rows"]) -> None:
        """Keep only these images, whose rows are ``rows``."""
        self.memory = [(keys[images], values[images]) for keys, values in self.memory]
        self.reorder(rows)
