"""Tables that map tensors between two naming schemes, in either direction."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Shaped
from torch import Tensor

from sycoca.model.config import SyCoCaConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.weights.tensors.shapes import Shapes, shapes_of

_MOST_NAMED = 12


@dataclass(frozen=True, slots=True)
class Change:
    """A conversion of a tensor of theirs into one of ours, and its exact inverse."""

    to_ours: Callable[[Tensor], Tensor]
    to_theirs: Callable[[Tensor], Tensor]


SAME = Change(lambda tensor: tensor, lambda tensor: tensor)
"""No change at all."""

TRANSPOSED = Change(lambda tensor: tensor.mT, lambda tensor: tensor.mT)
"""Theirs is stored transposed."""

SCALAR = Change(lambda tensor: tensor.reshape(1), lambda tensor: tensor.reshape(()))
"""Theirs is a scalar, or has one axis of length 1."""


def convolution(patch_size: int) -> Change:
    """Return the change between a convolution over patches with three channels and a linear layer on their pixels."""
    return Change(lambda kernel: kernel.flatten(1), lambda linear: linear.unflatten(1, (3, patch_size, patch_size)))


@dataclass(frozen=True, slots=True)
class Correspondence:
    """Tensors of ours, concatenated, equal tensors of theirs, concatenated."""

    ours: tuple[str, ...]
    """Names of ours; the concatenation is split into their lengths."""

    theirs: tuple[str, ...]
    """Names of theirs; the concatenation is split into equal lengths."""

    change: Change = SAME
    """Conversion that is applied to the concatenation."""


Table = Sequence[Correspondence]
"""All tensors of a model."""


def same(ours: str, theirs: str, change: Change = SAME) -> Correspondence:
    """Return the correspondence of one tensor to one tensor."""
    return Correspondence((ours,), (theirs,), change)


def weight_and_bias(ours: str, theirs: str) -> list[Correspondence]:
    """Return the correspondences of the weight and bias of a layer."""
    return [same(f"{ours}.{name}", f"{theirs}.{name}") for name in ("weight", "bias")]


def filled_model(config: SyCoCaConfig, tensors: Mapping[str, Tensor], table: Table, where: str) -> SyCoCa:
    """Return a SyCoCa model in evaluation mode with tensors of theirs; raises ValueError as `to_ours` does."""
    with torch.device("meta"):
        model = SyCoCa(config)
    model.load_state_dict(to_ours(tensors, table, shapes_of(model.state_dict()), where), assign=True)
    return model.eval()


def to_ours(
    tensors: Mapping[str, Tensor], table: Table, shapes: Shapes, where: str
) -> dict[str, Shaped[Tensor, "..."]]:
    """Return their tensors under our names; ``shapes`` are those that ours must have.

    Raises ValueError, which begins with ``where``, for every tensor that is missing, unexpected or of another shape, or
    has values that are not finite.
    """
    expected = [name for row in table for name in row.theirs]
    _refuse(where, "lacks", (name for name in expected if name not in tensors))
    _refuse(where, "has, unknown to us,", tensors.keys() - set(expected))
    found: dict[str, Tensor] = {}
    for row in table:
        joined = row.change.to_ours(_joined(tensors, row.theirs))
        lengths = [shapes[name][0] for name in row.ours]
        expected_shape = (sum(lengths), *shapes[row.ours[0]][1:])
        if tuple(joined.shape) != expected_shape:
            raise ValueError(
                f"{where} has {', '.join(row.theirs)} in a shape that makes {tuple(joined.shape)}, not"
                f" {expected_shape} as {', '.join(row.ours)} of a model of these sizes"
            )
        found |= zip(row.ours, joined.split(lengths), strict=True)
    bad = (", ".join(row.theirs) for row in table if not all(bool(found[name].isfinite().all()) for name in row.ours))
    _refuse(where, "has values that are not finite (training diverged, or a dtype overflowed) in", bad)
    return {name: tensor.contiguous() for name, tensor in found.items()}


def to_theirs(tensors: Mapping[str, Tensor], table: Table) -> dict[str, Shaped[Tensor, "..."]]:
    """Return our tensors under their names; ValueError for every tensor of ours that has no counterpart."""
    expected = [name for row in table for name in row.ours]
    _refuse("the model", "has, unknown to the other format,", tensors.keys() - set(expected))
    found: dict[str, Tensor] = {}
    for row in table:
        joined = row.change.to_theirs(_joined(tensors, row.ours))
        parts = joined.chunk(len(row.theirs)) if len(row.theirs) > 1 else [joined]
        found |= zip(row.theirs, parts, strict=True)
    return {name: tensor.contiguous() for name, tensor in found.items()}


def _joined(tensors: Mapping[str, Tensor], names: Sequence[str]) -> Tensor:
    return tensors[names[0]] if len(names) == 1 else torch.cat([tensors[name] for name in names])


def _refuse(where: str, fault: str, names: Iterable[str]) -> None:
    faulty = sorted(names)
    if faulty:
        more = f" and {len(faulty) - _MOST_NAMED} more" if len(faulty) > _MOST_NAMED else ""
        raise ValueError(f"{where} {fault} {', '.join(faulty[:_MOST_NAMED])}{more}")
