import pytest
import torch
from torch import nn

from sycoca.training.engine.optimization.gradients import clip_gradients


def parameters_with(*gradients: torch.Tensor) -> list[nn.Parameter]:
    parameters = [nn.Parameter(torch.zeros_like(gradient)) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    return [*parameters, nn.Parameter(torch.zeros(3))]  # the last one has no gradient


@pytest.mark.parametrize("largest", [0.5, 1e6])
def test_gradients_are_clipped_by_their_global_norm(largest: float):
    gradients = (torch.randn(4, 5), torch.randn(7).double().float(), torch.randn(2, 3, 2).transpose(0, 2))
    ours, theirs = parameters_with(*gradients), parameters_with(*gradients)
    torch.testing.assert_close(clip_gradients(ours, largest), nn.utils.clip_grad_norm_(theirs, largest))
    for own, expected in zip(ours[:-1], theirs[:-1], strict=True):
        torch.testing.assert_close(own.grad, expected.grad)


def test_small_gradients_stay_to_the_last_bit():
    gradient = torch.randn(11)
    (parameter, _) = parameters_with(gradient)
    clip_gradients([parameter], 100.0)
    assert torch.equal(parameter.grad, gradient)  # pyright: ignore[reportArgumentType]


def test_the_norm_of_many_numbers_is_exact():
    gradient = torch.randn(5_000_000) * 1e-3
    norm = clip_gradients(parameters_with(gradient), 1e9)
    assert norm.item() == pytest.approx(gradient.double().norm().item(), rel=1e-4)


def test_a_norm_that_is_no_number_is_returned():
    assert not torch.isfinite(clip_gradients(parameters_with(torch.tensor([1.0, float("nan")])), 1.0))
