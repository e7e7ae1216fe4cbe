"""Rows of captions without their filler, one after another."""

from typing import final

from jaxtyping import Bool, Float
from torch import Tensor


@final
class Packing:
    """Where the real positions of padded rows are, so that layers which work position by position skip the rest.

    A batch of captions is as long as its longest; in large ones more than half of all positions are filler.
    """

    def __init__(self, is_real: Bool[Tensor, "rows length"]) -> None:
        self._shape = is_real.shape
        self._places = is_real.flatten().nonzero().squeeze(1)

    def pack(self, padded: Float[Tensor, "outer inner width"]) -> Float[Tensor, "1 real width"]:
        """Return the real positions of all rows as one row."""
        return padded.flatten(0, 1).index_select(0, self._places).unsqueeze(0)

    def unpack(self, packed: Float[Tensor, "1 real width"]) -> Float[Tensor, "rows length width"]:
        """Return every row by itself again, zeros in the place of filler."""
        rows, length = self._shape
        padded = packed.new_zeros(rows * length, packed.shape[2])
        padded[self._places] = packed[0]
        return padded.unflatten(0, (rows, length))
