"""Weight matrices in the layout of oneDNN's kernels, for the many products of decoding."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor, nn

from sycoca.model.linear import Linear
from sycoca.model.products import LEAST_ROWS_OF_ONEDNN, multiplies_bfloat16, prefers_onednn

_LEAST_WEIGHTS = 2**17
"""Of a matrix that is packed: smaller ones stay in the cache of a core."""


@final
class PackedMatrices:
    """Copies of the matrices of linear layers, made once per batch of captions.

    oneDNN brings a plain matrix into its own layout in every product. With few rows that takes longer than the product:
    a packed one halves the time. Without a gain there are no copies: on other devices, under autocast, for few rows in
    float32, and where neither the processor multiplies bfloat16 nor oneDNN is the faster library (`prefers_onednn`).
    """

    def __init__(self, linears: Iterable[Linear], num_rows: int) -> None:
        self._packed = [(linear, _packed(linear.weight)) for linear in linears if _gains(linear, num_rows)]

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
