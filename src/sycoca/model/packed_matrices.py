"""Weight matrices in the layout of oneDNN's kernels, for the many products of decoding."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import final
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sycoca.model.linear import Linear
from sycoca.model.products import LEAST_ROWS_OF_ONEDNN, multiplies_bfloat16, prefers_onednn

_LEAST_WEIGHTS = 2**17
"""Of a matrix that is packed: smaller ones stay in the cache of a core."""


@final
class PackedMatrices:
    """Copies of the matrices of linear layers, made for a batch of captions and kept while weights do not change.

    oneDNN brings a plain matrix into its own layout in every product. With few rows that takes longer than the product:
    a packed one halves the time. Without a gain there are no copies: on other devices, under autocast, for few rows in
    float32, and where neither the processor multiplies bfloat16 nor oneDNN is the faster library (`prefers_onednn`).
    """

    def __init__(self, linears: Iterable[Linear], num_rows: int) -> None:
        self._packed = [(linear, _kept(linear).matrix) for linear in linears if _gains(linear, num_rows)]

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Let the layers multiply by their packed matrices."""
        try:
            for linear, matrix in self._packed:
                linear.packed = matrix
            yield
        finally:
            for linear, _ in self._packed:
                linear.packed = None


def forget_packed_matrices(linears: Iterable[Linear]) -> None:
    """Free the copies of these layers' matrices, as before training, in which they would be in vain."""
    for linear in linears:
        _COPIES.pop(linear, None)


@final
class _Copy:
    """A packed matrix, and what tells whether it still is one of a weight."""

    def __init__(self, weight: Tensor) -> None:
        self.matrix = _packed(weight)
        self._state = _state(weight)
        self._row_sums = _row_sums(weight)

    def is_of(self, weight: Tensor) -> bool:
        """Return whether the weight is the one that was copied, and unchanged."""
        # Changes through weight.data, as averages of weights are made by, have no trace but the values. One pass over
        # them takes an eighth of the time of packing in float32, half in bfloat16.
        return self._state == _state(weight) and torch.equal(self._row_sums, _row_sums(weight))


_COPIES: WeakKeyDictionary[Linear, _Copy] = WeakKeyDictionary()
"""By layer, and not in it: there, copies of a model and its pickles would hold them too."""


def _kept(linear: Linear) -> _Copy:
    copy = _COPIES.get(linear)
    if copy is None or not copy.is_of(linear.weight):
        copy = _COPIES[linear] = _Copy(linear.weight)
    return copy


def _state(weight: Tensor) -> tuple[object, ...]:
    version = None if weight.is_inference() else weight._version
    return weight.data_ptr(), weight.dtype, version


def _row_sums(weight: Float[Tensor, "out_features in_features"]) -> Float[Tensor, " out_features"]:
    return weight.detach().sum(1, dtype=torch.float32)


def _packed(weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach())


def _gains(linear: Linear, num_rows: int) -> bool:
    weight = linear.weight
    if linear.int8 is not None or weight.device.type != "cpu" or weight.numel() < _LEAST_WEIGHTS:
        return False
    if torch.is_autocast_enabled("cpu") or type(weight) is not nn.Parameter:  # but a shard of one
        return False
    if weight.dtype == torch.float32:
        return num_rows >= LEAST_ROWS_OF_ONEDNN and prefers_onednn()
    return weight.dtype == torch.bfloat16 and multiplies_bfloat16()
