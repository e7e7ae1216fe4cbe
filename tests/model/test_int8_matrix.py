from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sycoca.model.attention import CrossAttention, Memory, SelfAttention
from sycoca.model.int8_matrix import Int8Matrix
from sycoca.model.linear import Linear
from sycoca.model.low_rank import LowRankAdapter


def plain_product(matrix: Int8Matrix, x: Tensor, bias: Tensor | None) -> Tensor:
    """Return the same from activations that are rounded to 7 bits and floats: x = scale (q - zero), q from 0 to 127."""
    least, largest = x.amin().clamp_max(0.0), x.amax().clamp_min(0.0)
    scale = (largest - least) / 127
    zero = (-least / scale).round()
    rounded = ((x / scale).round() + zero).clamp(0, 127) - zero
    return F.linear((scale * rounded).double(), matrix.dequantized().double(), None if bias is None else bias.double())


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 5), (70,), (0,)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_product_is_that_of_rounded_activations_and_weights(shape: tuple[int, ...], bias: bool):
    layer, x = Linear(64, 48, bias=bias), torch.randn(*shape, 64) + 0.3
    weight = layer.weight.detach().clone()
    layer.quantize()
    assert layer.int8 is not None
    assert layer.weight is None
    out = layer(x)
    assert out.shape == (*shape, 48)
    if len(x):
        torch.testing.assert_close(out.double(), plain_product(layer.int8, x, layer.bias), rtol=0, atol=1e-4)
    steps = weight.abs().amax(1, keepdim=True) / 127
    assert ((layer.whole_weight - weight).abs() <= 0.5001 * steps).all()
    torch.testing.assert_close(layer.state_dict()["weight"], layer.whole_weight, rtol=0, atol=0)


def test_every_row_of_the_matrix_has_its_own_scale():
    weight = torch.randn(4, 32) * torch.tensor([1e-3, 1.0, 1e3, 0.0])[:, None]
    found = Int8Matrix(weight, None).dequantized()
    errors = (found - weight).norm(dim=1) / weight.norm(dim=1).clamp_min(1e-30)
    assert errors.max() < 0.01


def test_an_adapter_is_merged_before():
    layer = Linear(16, 8)
    layer.adapter = LowRankAdapter(16, 8, rank=2, alpha=4.0)
    with torch.no_grad():
        layer.adapter.up.normal_()
    whole = layer.whole_weight.detach()
    layer.quantize()
    assert layer.adapter is None
    torch.testing.assert_close(layer.whole_weight, whole, rtol=0, atol=float(whole.abs().max()) / 250)


@torch.no_grad()
def test_attention_multiplies_by_int8_and_never_by_what_it_stands_for(monkeypatch: pytest.MonkeyPatch):
    """Projected or folded, of all queries or of the last: a dequantized matrix would take the time that int8 saves."""
    norm, memory_norm = nn.LayerNorm(32), nn.LayerNorm(48)
    cross, own, x = CrossAttention(32, 48, 4), SelfAttention(32, 4), torch.randn(2, 3, 32)
    memory = Memory(torch.randn(2, 90, 48))
    assert cross._folding_saves(3, memory)

    def attended() -> list[Tensor]:
        return [
            cross(x, norm, memory, memory_norm),
            own(x, norm, is_causal=False),
            own(x, norm, is_causal=False, num_queries=1),
        ]

    expected = attended()
    for linear in (cross.query, cross.key_value, cross.output, own.query_key_value, own.output):
        linear.quantize()
    monkeypatch.setattr(Int8Matrix, "dequantized", lambda _: pytest.fail("dequantized"))
    for found, plain in zip(attended(), expected, strict=True):
        assert found.shape == plain.shape
        assert (found - plain).norm() < 0.05 * plain.norm()


def test_weights_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="weights that are not finite cannot be quantized: the model has diverged"):
        Int8Matrix(torch.tensor([[1.0, torch.nan]]), None)


def test_a_pytorch_without_the_kernels_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.ops, "quantized", SimpleNamespace())
    with pytest.raises(ValueError, match="has no int8 matrices for this processor; use bfloat16 or float32"):
        Int8Matrix(torch.ones(2, 2), None)
