"""The contrastive loss of a model that tells nothing apart: what a held-out loss has to be compared with."""

import math
from typing import assert_never

from sycoca.objectives.config import ContrastiveLoss


def contrastive_chance(kind: ContrastiveLoss, num_pairs: int) -> float:
    """Return ITC of ``num_pairs`` pairs, none a copy of another, where all cosines are equal.

    Of the sigmoid loss it is the one with the best bias, by which every image and caption belong together with a
    probability of 1 / ``num_pairs``. A pair without others has nothing to be told from, and a loss of 0.
    """
    others = num_pairs - 1
    if others == 0:
        return 0.0
    match kind:
        case "softmax":
            return math.log(num_pairs)
        case "decoupled":
            return math.log(others)
        case "sigmoid":
            return math.log(num_pairs) + others * math.log(num_pairs / others)
        case unknown:
            assert_never(unknown)
