"""How well patch scores localize what a caption describes, where the ground truth is known."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sycoca.precision import at_least_float32


def mask_coverage(
    is_chosen: Bool[Tensor, "batch patches"], described: Float[Tensor, "batch patches"]
) -> Float[Tensor, " batch"]:
    """Return the fraction of the described pixels that lie inside the chosen patches, 0 to 1.

    ``described`` is the described fraction of each patch's pixels. Raises ValueError where nothing is described.
    """
    described = _checked(described)
    return (described * is_chosen).sum(1) / described.sum(1)


def largest_mask_coverage(described: Float[Tensor, "batch patches"], num_chosen: int) -> Float[Tensor, " batch"]:
    """Return the largest coverage that any choice of ``num_chosen`` patches can reach.

    Raises ValueError where nothing is described.
    """
    described = _checked(described)
    return described.topk(num_chosen, dim=1).values.sum(1) / described.sum(1)


def grounding_average_precision(
    scores: Float[Tensor, "batch patches"], described: Float[Tensor, "batch patches"]
) -> Float[Tensor, " batch"]:
    """Return the average precision of retrieving the described pixels, each with its patch's score, 0 to 1.

    It is the sum over thresholds of (gain in recall x precision); pixels of equal score enter together. Chance is about
    the described fraction of the image; 1 cannot be reached where patches are partly described. Raises ValueError where
    nothing is described.
    """
    described = _checked(described)
    order = scores.argsort(dim=1, descending=True)
    sorted_scores, sorted_described = scores.gather(1, order), described.gather(1, order)
    found = sorted_described.cumsum(1)
    num_taken = torch.arange(1, scores.shape[1] + 1, device=scores.device)
    # Patches of equal score enter together: each counts with the precision at the end of its group.
    group_end = (sorted_scores[:, :, None] <= sorted_scores[:, None, :]).sum(2) - 1
    precision = (found / num_taken).gather(1, group_end)
    return (sorted_described * precision).sum(1) / found[:, -1]


def chance_average_precision(num_relevant: int, num_ranked: int) -> float:
    """Return the mean average precision over all orders of ``num_ranked`` items, of which some are relevant.

    With one item it is the mean of 1/rank, which is more than the fraction of relevant items.
    """
    # At rank k the item is relevant with probability R/N; each of the k - 1 before it then with (R - 1)/(N - 1).
    harmonic = sum(1 / rank for rank in range(1, num_ranked + 1)) / num_ranked
    before = (num_relevant - 1) / (num_ranked - 1) if num_ranked > 1 else 0.0
    return harmonic + before * (1 - harmonic)


def described_patch_auc(
    scores: Float[Tensor, "batch patches"],
    described: Float[Tensor, "batch patches"],
    undescribed: Float[Tensor, "batch patches"],
) -> Float[Tensor, " batch"]:
    """Return the area under the ROC curve of described against undescribed object pixels, each with its patch's score.

    It is the probability that a described pixel scores higher than one of an undescribed object; ties count half. A
    score that does not depend on the caption cannot tell the two apart, so chance is 0.5 and background is left out.
    Raises ValueError where there are no pixels of the one or the other kind.
    """
    described, undescribed = _checked(described), _checked(undescribed)
    order = scores.argsort(dim=1)
    ranked = scores.gather(1, order).contiguous()
    below = torch.nn.functional.pad(undescribed.gather(1, order).cumsum(1), (1, 0))
    # Half of the ties: the mean of those strictly below and those below or equal.
    outscored = sum(below.gather(1, torch.searchsorted(ranked, scores, side=side)) for side in ("left", "right")) / 2
    return (described * outscored).sum(1) / (described.sum(1) * below[:, -1])


def _checked(described: Float[Tensor, "batch patches"]) -> Float[Tensor, "batch patches"]:
    if not bool((described.sum(1) > 0).all()):
        row = int((described.sum(1) <= 0).nonzero()[0])
        raise ValueError(f"sample {row} has no described pixels, so there is nothing to localize")
    return at_least_float32(described)
