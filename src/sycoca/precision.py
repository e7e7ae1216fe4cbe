"""Computation in at least float32, where half precision would make close similarities equal.

bfloat16 has 8 significant bits: similarities that differ slightly round to the same value, and their ranking is lost.
"""

from jaxtyping import Float
from torch import Tensor, autocast, float32, promote_types


def at_least_float32(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return half-precision tensors as float32, all others unchanged."""
    return x.to(promote_types(x.dtype, float32))


def precise_product(
    left: Float[Tensor, "*batch rows inner"], right: Float[Tensor, "*batch inner columns"]
) -> Float[Tensor, "*batch rows columns"]:
    """Return the matrix product in at least float32, also under autocast, which would use half precision."""
    with autocast(left.device.type, enabled=False):
        return at_least_float32(left) @ at_least_float32(right)
