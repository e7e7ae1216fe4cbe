import pytest
import torch

from sycoca.training.engine.optimization.weight_average import WeightAverage

FINITE = torch.tensor(1.0)


def line(*values: float) -> torch.nn.Linear:
    linear = torch.nn.Linear(len(values), 1, bias=False).double()
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([values]))
    return linear


def set_to(linear: torch.nn.Linear, value: float) -> None:
    with torch.no_grad():
        linear.weight.fill_(value)


def test_the_average_by_hand():
    linear = line(0.0)
    average = WeightAverage(linear, decay=0.5)
    set_to(linear, 1.0)
    average.update(1, FINITE)  # decay 2 / 11
    assert average.tensors()["weight"].item() == pytest.approx(9 / 11)
    set_to(linear, 3.0)
    average.update(1000, FINITE)  # decay 0.5
    assert average.tensors()["weight"].item() == pytest.approx((9 / 11 + 3) / 2)


@pytest.mark.parametrize("norm", [float("nan"), float("inf")])
def test_a_skipped_update_leaves_the_averages(norm: float):
    linear = line(0.0)
    average = WeightAverage(linear, decay=0.5)
    set_to(linear, 1.0)
    average.update(1000, torch.tensor(norm))
    assert average.tensors()["weight"].item() == 0


def test_fractions_on_the_device_move_the_averages_as_those_of_the_host_do():
    averages = []
    for weight in (1 - 0.9, torch.tensor(1 - 0.9, dtype=torch.float64)):
        linear = line(0.1, 0.7)
        average = WeightAverage(linear, decay=0.9)
        set_to(linear, 1 / 3)
        average.move(weight)
        averages.append(average.tensors()["weight"].clone())
        average.move(torch.tensor(0.0, dtype=torch.float64))
        assert torch.equal(average.tensors()["weight"], averages[-1])
    assert torch.equal(*averages)


def test_averages_are_swapped_in_and_the_weights_back_to_the_last_bit():
    linear = line(0.1, 0.7)
    average = WeightAverage(linear, decay=0.9)
    set_to(linear, 1 / 3)
    average.update(50, FINITE)
    weights, means = linear.weight.clone(), average.tensors()["weight"].clone()
    assert not torch.equal(weights, means)
    with average.in_place():
        assert torch.equal(linear.weight, means)
    assert torch.equal(linear.weight, weights)
    assert torch.equal(average.tensors()["weight"], means)
