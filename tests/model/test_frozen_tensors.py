"""What is frozen costs no gradient of its own, and changes no bit of the others'."""

from collections.abc import Callable, Iterable
from itertools import combinations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from builders.models import BatchMaker
from sycoca.model.config import MaskingConfig
from sycoca.model.folded_attention import folded_attention
from sycoca.model.linear import Linear
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.objectives.contrastive import Ranks
from sycoca.objectives.pretraining import pretraining_losses

ROWS, WIDTH, OUT = 6, 5, 7
MATRIX = 2 * ROWS * WIDTH * OUT
"""Operations of each product that a linear layer's backward pass has: of its input's gradient and of its weight's."""


def gradients(
    compute: Callable[[], Tensor], tensors: dict[str, Tensor], frozen: Iterable[str]
) -> tuple[dict[str, Tensor], int]:
    """Return the gradients of what is not frozen, by name, and the operations of the backward pass."""
    for name, tensor in tensors.items():
        tensor.requires_grad_(name not in frozen).grad = None
    out = compute().square().sum()
    with FlopCounterMode(display=False) as counter:
        out.backward()
    return {name: tensor.grad for name, tensor in tensors.items() if tensor.grad is not None}, counter.get_total_flops()


def choices(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return all choices of some, but not all."""
    names = list(names)
    return [chosen for size in range(1, len(names)) for chosen in combinations(names, size)]


def assert_frozen_ones_are_left_out(compute: Callable[[], Tensor], tensors: dict[str, Tensor]) -> None:
    expected, _ = gradients(compute, tensors, ())
    assert expected.keys() == tensors.keys()
    for frozen in choices(tensors):
        found, _ = gradients(compute, tensors, frozen)
        assert found.keys() == tensors.keys() - set(frozen)
        for name, gradient in found.items():
            assert torch.equal(gradient, expected[name]), (name, frozen)


def layer_of_norm() -> tuple[Callable[[], Tensor], dict[str, Tensor]]:
    norm, layer, x = nn.LayerNorm(WIDTH), Linear(WIDTH, OUT), torch.randn(2, 3, WIDTH)
    tensors = {"x": x, "scale": norm.weight, "shift": norm.bias, "weight": layer.weight, "bias": layer.bias}
    return lambda: layer.of_norm(norm, x), tensors


def layer_of_activation() -> tuple[Callable[[], Tensor], dict[str, Tensor]]:
    layer, x = Linear(WIDTH, OUT), torch.randn(2, 3, WIDTH)
    return lambda: layer.of_activation("quick_gelu", x), {"x": x, "weight": layer.weight, "bias": layer.bias}


def attention() -> tuple[Callable[[], Tensor], dict[str, Tensor]]:
    tensors = {
        "queries": torch.randn(2, 3, 6),
        "memory": torch.randn(2, 40, 10),
        "keys": torch.randn(6, 10),
        "values": torch.randn(6, 10),
    }
    queries, memory, keys, values = tensors.values()
    return lambda: folded_attention(queries, memory, memory.detach().mT.contiguous(), keys, values, 2), tensors


@pytest.mark.parametrize("make", [layer_of_norm, layer_of_activation, attention])
def test_what_is_not_frozen_has_the_same_gradients_to_the_last_bit(make):
    assert_frozen_ones_are_left_out(*make())


@pytest.mark.parametrize("make", [layer_of_norm, layer_of_activation])
@pytest.mark.parametrize(
    ("frozen", "num_products"), [((), 2), (("weight",), 1), (("x", "scale", "shift"), 1), (("bias",), 2)]
)
def test_a_layer_computes_the_products_that_are_asked_for(make, frozen: tuple[str, ...], num_products: int):
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
    ("frozen", "share"),
    # A frozen encoder at the bottom has no backward pass at all; gradients pass through a frozen decoder.
    [(("image_encoder",), 0.75), (("image_encoder", "text_encoder"), 0.65), (("text_decoder",), 0.95)],
)
def test_frozen_parts_of_a_model_cost_less_and_leave_the_others_gradients(
    model: SyCoCa, make_batch: BatchMaker, frozen: tuple[str, ...], share: float
):
    batch = make_batch()
    names = [name for name, _ in model.named_parameters() if name.startswith(frozen)]
    tensors: dict[str, Tensor] = dict(model.named_parameters())
    expected, all_operations = gradients(lambda: losses(model, batch), tensors, ())
    found, operations = gradients(lambda: losses(model, batch), tensors, names)
    assert found.keys() == expected.keys() - set(names)
    assert all(torch.equal(gradient, expected[name]) for name, gradient in found.items())
    assert operations < share * all_operations
