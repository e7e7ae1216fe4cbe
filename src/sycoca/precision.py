"""At least float32, where half precision would make near duplicates tie.

bfloat16 keeps 8 bits: similarities of patches or captions that differ a little come out equal, and their order with
them.
"""

from jaxtyping import Float
from torch import Tensor, autocast, float32, promote_types


def at_least_float32(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return half precision as float32 and everything wider as it is."""
    return x.to(promote_types(x.dtype, float32))


def precise_product(
    left: Float[Tensor, "*batch rows inner"], right: Float[Tensor, "*batch inner columns"]
) -> Float[Tensor, "*batch rows columns"]:
    """Return the matrix product in at least float32, under autocast too, which would compute it in half precision."""
    with autocast(left.device.type, enabled=False):
        return at_least_float32(left) @ at_least_float32(right)
