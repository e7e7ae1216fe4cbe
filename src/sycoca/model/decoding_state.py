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
        """Replace every row i by row ``rows[i]`` of the same image, as beam search does."""
        # Most beams stay in their places, so that few are copied; on other devices the host would wait for the rows.
        moved = {row: source for row, source in enumerate(rows.tolist()) if row != source} if rows.is_cpu else None
        for cache in self._caches:
            if moved is not None and moved.keys().isdisjoint(moved.values()):
                cache.overwrite_rows(moved)
            else:
                cache.take_rows(rows)

    def keep_images(self, images: Int[Tensor, " images"], rows: Int[Tensor, " rows"]) -> None:
        """Keep only these images, whose rows are ``rows``."""
        self.memory = [(keys[images], values[images]) for keys, values in self.memory]
        for cache in self._caches:
            cache.take_rows(rows)

    @property
    def _caches(self) -> list[KeyValueCache]:
        return [*self.text_caches, *self.decoder_caches]
