"""Names and shapes of tensors, and their comparison."""

from collections.abc import Mapping
from typing import NamedTuple

from jaxtyping import Shaped
from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]
"""Every tensor's shape by its name."""


class ShapeDifference(NamedTuple):
    """A tensor that differs between two sets."""

    name: str
    """The tensor's name."""

    found: tuple[int, ...] | None
    """Its shape in the first set; None where it is missing there."""

    expected: tuple[int, ...] | None
    """Its shape in the second."""


def shapes_of(tensors: Mapping[str, Shaped[Tensor, "..."]]) -> Shapes:
    """Return every tensor's shape."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def first_difference(found: Shapes, expected: Shapes) -> ShapeDifference | None:
    """Return the first difference in the order of names; None where both sets are equal."""
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            return ShapeDifference(name, found.get(name), expected.get(name))
    return None
