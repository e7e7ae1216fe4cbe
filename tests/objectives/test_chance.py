import math
from typing import get_args

import pytest
import torch

from sycoca.objectives.compared import ContrastForm
from sycoca.objectives.config import HAS_LOGIT_BIAS, ContrastiveLoss
from sycoca.objectives.contrastive import Ranks, contrastive_chance, contrastive_loss


@pytest.mark.parametrize("kind", get_args(ContrastiveLoss))
def test_chance_is_the_loss_of_equal_embeddings(kind: ContrastiveLoss):
    for number in (1, 2, 7):
        same = torch.tensor([[0.6, 0.8]], dtype=torch.float64).expand(number, 2)

        def loss(bias: float, same: torch.Tensor = same) -> float:
            given = torch.tensor([bias - 10.0], dtype=torch.float64) if HAS_LOGIT_BIAS[kind] else None
            form = ContrastForm(kind=kind, logit_bias=given)
            scale = torch.tensor([10.0], dtype=torch.float64)
            return contrastive_loss(same, same, scale, len(same), Ranks(), form=form).item()

        best = -math.log(number - 1) if number > 1 else 50.0  # the logit of 1 / number
        assert contrastive_chance(kind, number) == pytest.approx(loss(best), abs=1e-10)
        assert loss(best) <= min(loss(best - 0.1), loss(best + 0.1)) + 1e-12
