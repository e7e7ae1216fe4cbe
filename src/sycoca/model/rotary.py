"""Rotary position embeddings of patches: queries and keys turn by angles that depend on their patch's coordinates."""

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor


@final
@dataclass(frozen=True, slots=True)
class Rotation:
    """The rotation of every position, the same in all heads and layers (RoFormer, arXiv 2104.09864)."""

    cos: Float[Tensor, "images 1 positions features"]
    """Cosine of the angle by which each feature turns; one image stands for all where they have the same patches."""

    sin: Float[Tensor, "images 1 positions features"]
    """Its sine."""

    def __call__(
        self, x: Float[Tensor, "batch heads positions features"]
    ) -> Float[Tensor, "batch heads positions features"]:
        """Rotate queries or keys: feature k turns with feature k + features / 2."""
        first, second = x.chunk(2, -1)
        return (x * self.cos + torch.cat([-second, first], -1) * self.sin).to(x.dtype)


def patch_angles(
    grid: tuple[int, int], num_features: int, theta: float, like: Float[Tensor, "..."]
) -> Float[Tensor, "patches features"]:
    """Return the angle of each feature of a head at each patch of a grid of (rows, columns), row by row.

    The coordinates of the patches' centers go from -1 to 1, whatever the size of the image. A quarter of the features
    turns with the vertical one, ``theta ** -f`` times per unit for f from 0 to 1, the next quarter with the horizontal
    one, and the other half like the first (DINOv3, arXiv 2508.10104, as released). The result has the device and the
    dtype of ``like``.
    """
    quarter = num_features // 4
    frequencies = theta ** -(torch.arange(quarter, dtype=like.dtype, device=like.device) / quarter)
    vertical, horizontal = (
        2 * torch.arange(0.5, count, dtype=like.dtype, device=like.device) / count - 1 for count in grid
    )
    centers = torch.stack(torch.meshgrid(vertical, horizontal, indexing="ij"), dim=-1).flatten(0, 1)
    return (2 * math.pi * centers.unsqueeze(-1) * frequencies).flatten(1).tile(2)


def rotation_at(
    angles: Float[Tensor, "patches features"], num_extra: int, visible: Int[Tensor, "batch kept"] | None
) -> Rotation:
    """Return the rotation of ``num_extra`` tokens, which do not turn, and of the patches behind them.

    With ``visible`` each image has these patches alone, which turn by the angles of their own coordinates.
    """
    of_patches = angles.unsqueeze(0) if visible is None else angles[visible]
    unturned = of_patches.new_zeros(of_patches.shape[0], num_extra, of_patches.shape[2])
    by_position = torch.cat([unturned, of_patches], dim=1).unsqueeze(1)
    return Rotation(by_position.cos(), by_position.sin())
