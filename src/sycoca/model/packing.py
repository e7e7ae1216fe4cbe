"""Packed variable-length sequences: captions one after another, almost without padding.

On CPUs oneDNN compiles a kernel for every number of rows that it meets: a millisecond and up to a megabyte for each
matrix. So packed rows end in copies of the last one there, and few numbers of rows occur.
"""

from typing import final

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

_SIZES_PER_OCTAVE = 16
"""Numbers of packed rows between a power of two and the next: copies are at most a sixteenth of all rows."""


@final
class Packing:
    """The positions of padded rows that hold real tokens, so that position-wise layers skip padding.

    Captions are padded to the longest of their batch; in large batches more than half of all positions are padding.
    """

    def __init__(self, is_real: Bool[Tensor, "rows length"], num_real: int | None = None) -> None:
        """Count the real positions unless ``num_real`` gives their number: on a GPU the host waits for the count.

        Raises ValueError for a wrong number, on a CPU, where counting costs nothing.
        """
        self._shape = is_real.shape
        flat = is_real.flatten()
        if num_real is not None and (flat.device.type != "cpu" or torch.compiler.is_compiling()):
            self._indices = torch.nonzero_static(flat, size=num_real).squeeze(1)
            return
        self._indices = flat.nonzero().squeeze(1)
        if num_real is not None and num_real != len(self._indices):
            raise ValueError(f"the batch has {len(self._indices)} real positions, not {num_real}")

    def values(self, padded: Shaped[Tensor, "outer inner *features"]) -> Shaped[Tensor, "real *features"]:
        """Return the real positions of all rows, one after another."""
        return padded.flatten(0, 1).index_select(0, self._indices)

    def pack(self, padded: Float[Tensor, "outer inner width"]) -> Float[Tensor, "1 packed width"]:
        """Return the real positions of all rows as one packed row, which copies of the last one make longer."""
        indices = torch.cat([self._indices, self._indices[-1:].expand(self._num_copies())])
        return padded.flatten(0, 1).index_select(0, indices).unsqueeze(0)

    def unpack(self, packed: Float[Tensor, "1 packed width"]) -> Float[Tensor, "rows length width"]:
        """Return the padded rows again, with zeros for padding."""
        rows, length = self._shape
        padded = packed.new_zeros(rows * length, packed.shape[2])
        padded[self._indices] = packed[0, : len(self._indices)]
        return padded.unflatten(0, (rows, length))

    def _num_copies(self) -> int:
        if self._indices.device.type != "cpu" or torch.compiler.is_compiling():
            return 0
        num_real = len(self._indices)
        return num_packed_rows(num_real) - num_real


def num_packed_rows(num_real: int) -> int:
    """Return the number of rows that ``num_real`` real positions are packed into on a CPU."""
    step = max(1, (1 << num_real.bit_length()) // (2 * _SIZES_PER_OCTAVE))
    return -(-num_real // step) * step
