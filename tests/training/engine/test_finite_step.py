import math

import pytest
import torch
from torch import nn

from sycoca.training.engine.optimization.finite_step import all_finite, step_if_finite, step_on_device_if


def stepped(how, num_steps: int = 3) -> tuple[nn.Linear, torch.optim.Optimizer]:
    torch.manual_seed(0)
    layer = nn.Linear(5, 4)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, fused=True)
    for _ in range(num_steps):
        optimizer.zero_grad()
        layer(torch.randn(3, 5)).square().sum().backward()
        how(optimizer)
    return layer, optimizer


@pytest.mark.parametrize(
    "how",
    [
        lambda optimizer: step_if_finite(optimizer, torch.tensor(1.0)),
        lambda optimizer: step_on_device_if(optimizer, torch.tensor(True)),
    ],
)
def test_finite_steps_are_ordinary_ones_to_the_last_bit(how):
    layer, _ = stepped(how)
    expected, _ = stepped(lambda optimizer: optimizer.step())
    assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), expected.parameters(), strict=True))


@pytest.mark.parametrize("norm", [math.nan, math.inf])
def test_other_steps_change_neither_weights_nor_moments_nor_counters(norm: float):
    layer, optimizer = stepped(lambda optimizer: optimizer.step())
    tensors = [*layer.parameters(), *(value for state in optimizer.state.values() for value in state.values())]
    before = [tensor.detach().clone() for tensor in tensors]
    for parameter in layer.parameters():
        parameter.grad = torch.full_like(parameter, norm)
    step_if_finite(optimizer, torch.tensor(norm))
    step_on_device_if(optimizer, torch.tensor(False))
    assert all(torch.equal(tensor, old) for tensor, old in zip(tensors, before, strict=True))
    assert not hasattr(optimizer, "found_inf")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_value_that_is_not_finite_is_found(value: float):
    tensors = [torch.randn(3, 4), torch.zeros(0), torch.ones(2, dtype=torch.float64), torch.arange(3)]
    assert all_finite(tensors)
    tensors[2][1] = value
    assert not all_finite(tensors)
