"""Conversion between images and patches, and interpolation of position embeddings."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchSplit:
    """The patches of every image in two parts, by index in ascending order; all images have equally large parts."""

    chosen: Int[Tensor, "batch chosen"]
    """The patches that were chosen, such as those to mask."""

    others: Int[Tensor, "batch others"]
    """All other patches."""

    @property
    def is_chosen(self) -> Bool[Tensor, "batch patches"]:
        """True for the patches that were chosen."""
        num_patches = self.chosen.shape[1] + self.others.shape[1]
        is_chosen = torch.zeros(len(self.chosen), num_patches, dtype=torch.bool, device=self.chosen.device)
        return is_chosen.scatter(1, self.chosen, True)


def split_by_mask(is_chosen: Bool[Tensor, "batch patches"]) -> PatchSplit:
    """Return the two parts of a mask; on a GPU the host waits for it.

    Raises ValueError where the images have different numbers of chosen patches.
    """
    return PatchSplit(chosen=true_indices(is_chosen), others=true_indices(~is_chosen))


def patchify(images: Float[Tensor, "batch 3 height width"], patch_size: int) -> Float[Tensor, "batch patches pixels"]:
    """Cut images into non-overlapping square patches, row by row.

    The pixels of a patch are ordered as in a flattened convolution kernel (color, row, column), so that a patch
    embedding's weights equal those of the convolution. Raises ValueError where patches do not fit.
    """
    batch, colors, height, width = images.shape
    if height % patch_size or width % patch_size:
        raise ValueError(f"images of {height} x {width} pixels cannot be cut into patches of {patch_size}")
    rows, columns = height // patch_size, width // patch_size
    grid = images.reshape(batch, colors, rows, patch_size, columns, patch_size)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, colors * patch_size**2)


def unpatchify(
    patches: Float[Tensor, "batch patches pixels"], patch_size: int
) -> Float[Tensor, "batch 3 height width"]:
    """Reassemble square images from their patches; the inverse of ``patchify``."""
    batch, num_patches, _ = patches.shape
    side = math.isqrt(num_patches)
    if side**2 != num_patches:
        raise ValueError(f"{num_patches} patches do not make a square image")
    grid = patches.reshape(batch, side, side, 3, patch_size, patch_size)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(batch, 3, side * patch_size, side * patch_size)


def gather_patches(
    patches: Float[Tensor, "batch patches features"], indices: Int[Tensor, "batch kept"]
) -> Float[Tensor, "batch kept features"]:
    """Return the patches at ``indices``, which may differ between images."""
    return patches.gather(1, indices.unsqueeze(-1).expand(-1, -1, patches.shape[-1]))


def true_indices(choice: Bool[Tensor, "batch patches"]) -> Int[Tensor, "batch chosen"]:
    """Return the indices at which each row is True, in ascending order.

    Raises ValueError where rows have different numbers of them.
    """
    counts = choice.sum(1)
    num_chosen = int(counts[0])
    if not bool((counts == num_chosen).all()):
        raise ValueError(f"every image must have the same number of chosen patches, got {counts.tolist()}")
    return choice.nonzero()[:, 1].reshape(len(choice), num_chosen)


def resize_positions(
    positions: Float[Tensor, "positions width"], num_patches: int
) -> Float[Tensor, "new_positions width"]:
    """Interpolate learned position embeddings to a grid of another size (bicubic, antialiased, as open_clip does).

    ``positions`` are those of a square grid, row by row, after that of [CLS] where there is one, which does not change.
    Raises ValueError where ``num_patches`` or the given grid is not square.
    """
    old_side = math.isqrt(len(positions))
    num_extra = len(positions) - old_side**2
    new_side = math.isqrt(num_patches)
    if new_side**2 != num_patches or num_extra > 1:
        raise ValueError(f"cannot resize {len(positions)} positions to {num_patches} patches: no square grid")
    if new_side == old_side:
        return positions
    extra, grid = positions[:num_extra], positions[num_extra:]
    grid = grid.reshape(1, old_side, old_side, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=(new_side, new_side), mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([extra, grid.permute(0, 2, 3, 1).flatten(0, 2)])
