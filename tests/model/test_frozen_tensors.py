"""Frozen tensors save their gradient computation and change no bit of other gradients."""

from collections.abc import Callable, Iterable
from itertools import combinations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from builders.models import BatchMaker
from sycoca.model.folded_attention import folded_attention
from sycoca.model.linear import Linear
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.objectives.contrastive import Ranks
from sycoca.objectives.pretraining import pretraining_losses

ROWS, WIDTH, OUT = 6, 5, 7
MATRIX = 2 * ROWS * WIDTH * OUT
"""Operations of one product in the backward pass of a linear layer: for the gradient of its input or of its weight."""


def gradients(
    compute: Callable[[], Tensor], tensors: dict[str, Tensor], frozen: Iterable[str]
) -> tuple[dict[str, Tensor], int]:
    """Return the gradients of the tensors that are not frozen, by name, and the operations of the backward pass."""
    for name, tensor in tensors.items():
        tensor.requires_grad_(name not in frozen).grad = None
    out = compute().square().sum()
    with FlopCounterMode(display=False) as counter:
        out.backward()
    return {name: tensor.grad for name, tensor in tensors.items() if tensor.grad is not None}, counter.get_total_flops()


def proper_subsets(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return all proper_subsets of some, but not all."""
    names = list(names)
    return [chosen for size in range(1, len(names)) for chosen in combinations(names, size)]


def assert_frozen_tensors_change_no_other_gradient(compute: Callable[[], Tensor], tensors: dict[str, Tensor]) -> None:
    expected, _ = gradients(compute, tensors, ())
    assert expected.keys() == tensors.keys()
    for frozen in proper_subsets(tensors):
        found, _ = gradients(compute, tensors, frozen)
        assert found.keys() == tensors.keys() - set(frozen)
        for name, gradient in found.items():
            assert torch.equal(gradient, expected[name]), (name, frozen)


def norm_and_layer() -> tuple[Callable[[], Tensor], dict[str, Tensor]]:
    norm, layer, x = nn.LayerNorm(WIDTH), Linear(WIDTH, OUT), torch.randn(2, 3, WIDTH)
    tensors = {"x": x, "scale": norm.weight, "shift": norm.bias, "weight": layer.weight, "bias": layer.bias}
    return lambda: layer.after_norm(norm, x), tensors


def activation_and_layer() -> tuple[Callable[[], Tensor], dict[str, Tensor]]:
    layer, x = Linear(WIDTH, OUT), torch.randn(2, 3, WIDTH)
    return lambda: layer.after_activation("quick_gelu", x), {"x": x, "weight": layer.weight, "bias": layer.bias}


def attention() -> tuple[Callable[[], Tensor], dict[str, Tensor]]:
    tensors = {
        "queries": torch.randn(2, 3, 6),
        "memory": torch.randn(2, 40, 10),
        "keys": torch.randn(6, 10),
        "values": torch.randn(6, 10),
    }
    queries, memory, keys, values = tensors.values()
    return lambda: folded_attention(queries, memory, memory.detach().mT.contiguous(), keys, values, 2), tensors


@pytest.mark.parametrize("make", [norm_and_layer, activation_and_layer, attention])
def test_freezing_changes_no_bit_of_the_other_gradients(make):
    assert_frozen_tensors_change_no_other_gradient(*make())


@pytest.mark.parametrize("make", [norm_and_layer, activation_and_layer])
@pytest.mark.parametrize(
    ("frozen", "num_products"), [((), 2), (("weight",), 1), (("x", "scale", "shift"), 1), (("bias",), 2)]
)
def test_backward_computes_only_the_products_that_are_needed(make, frozen: tuple[str, ...], num_products: int):
    assert gradients(*make(), frozen)[1] == num_products * MATRIX


@pytest.mark.parametrize("frozen", ["queries", "memory", "keys", "values"])
def test_folded_attention_computes_less_for_each_frozen_tensor(frozen: str):
    assert gradients(*attention(), (frozen,))[1] < gradients(*attention(), ())[1]


def losses(model: SyCoCa, batch) -> Tensor:
    terms = pretraining_losses(model, batch, MaskingConfig(strategy="random"), ObjectivesConfig(), Ranks())
    assert terms.contrastive is not None
    assert terms.captioning is not None
    assert terms.masked_image is not None
    return terms.contrastive + terms.captioning + terms.masked_image


@pytest.mark.parametrize(
    ("frozen", "fraction"),
    # A frozen encoder needs no backward pass; gradients still pass through a frozen decoder.
    [(("image_encoder",), 0.75), (("image_encoder", "text_encoder"), 0.65), (("text_decoder",), 0.95)],
)
def test_freezing_components_saves_operations_and_changes_no_other_gradient(
    model: SyCoCa, make_batch: BatchMaker, frozen: tuple[str, ...], fraction: float
):
    batch = make_batch()
    names = [name for name, _ in model.named_parameters() if name.startswith(frozen)]
    tensors: dict[str, Tensor] = dict(model.named_parameters())
    expected, all_operations = gradients(lambda: losses(model, batch), tensors, ())
    found, operations = gradients(lambda: losses(model, batch), tensors, names)
    assert found.keys() == expected.keys() - set(names)
    assert all(torch.equal(gradient, expected[name]) for name, gradient in found.items())
    assert operations < fraction * all_operations
