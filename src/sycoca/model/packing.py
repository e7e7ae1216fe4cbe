"""Packed variable-length sequences: captions one after another, without padding."""

from typing import final

from jaxtyping import Bool, Float
from torch import Tensor


@final
class Packing:
    """The positions of padded rows that hold real tokens, so that position-wise layers skip padding.

    Captions are padded to the longest of their batch; in large batches more than half of all positions are padding.
    """

    def __init__(self, is_real: Bool[Tensor, "rows length"]) -> None:
        self._shape = is_real.shape
        self._indices = is_real.flatten().nonzero().squeeze(1)

    def pack(self, padded: Float[Tensor, "outer inner width"]) -> Float[Tensor, "1 real width"]:
        """Return the real positions of all rows as one packed row."""
        return padded.flatten(0, 1).index_select(0, self._indices).unsqueeze(0)

    def unpack(self, packed: Float[Tensor, "1 real width"]) -> Float[Tensor, "rows length width"]:
        """Return the padded rows again, with zeros for padding."""
        rows, length = self._shape
        padded = packed.new_zeros(rows * length, packed.shape[2])
        padded[self._indices] = packed[0]
        return padded.unflatten(0, (rows, length))
