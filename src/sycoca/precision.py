"""Computation in at least float32, where half precision would make close similarities equal.

bfloat16 has 8 significant bits: similarities that differ slightly round to the same value, and their ranking is lost.
"""

from jaxtyping import Float, Shaped
from torch import Tensor, autocast, float32, promote_types

DIVERGED = ": the model has diverged, or its numbers have overflowed (--precision fp32 has the widest range)"
"""Why what a model computes may not be finite."""


def at_least_float32(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return half-precision tensors as float32, all others unchanged."""
    return x.to(promote_types(x.dtype, float32))


def precise_product(
    left: Float[Tensor, "*batch rows inner"], right: Float[Tensor, "*batch inner columns"]
) -> Float[Tensor, "*batch rows columns"]:
    """Return the matrix product in at least float32, also under autocast, which would use half precision."""
    with autocast(left.device.type, enabled=False):
        return at_least_float32(left) @ at_least_float32(right)


def check_finite(rows: Shaped[Tensor, "rows *shape"], what: str, reason: str = DIVERGED) -> None:
    """Raise ValueError that names the first row with a NaN or an infinity, counted from 0; ``what`` a row is."""
    is_finite = rows.isfinite().flatten(1).all(1) if rows.ndim > 1 else rows.isfinite()
    if not bool(is_finite.all()):
        row = int((~is_finite).nonzero()[0, 0])
        raise ValueError(f"{what} {row} is not finite{reason}")
