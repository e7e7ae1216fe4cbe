import pytest
import torch

from sycoca.model.linear import Linear


@torch.no_grad()
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1,), (1, 1), (2,), (5, 1), (16,), (4, 4), (2, 9, 1), (60,)])
def test_few_rows_give_the_same_results(shape: tuple[int, ...], bias: bool):
    layer, x = Linear(20, 30, bias=bias), torch.randn(*shape, 20)
    expected = torch.nn.functional.linear(x, layer.weight, layer.bias)
    out = layer(x)
    torch.testing.assert_close(out, expected)
    assert out.is_contiguous()  # the fused attention kernel needs it


@pytest.mark.parametrize("num_rows", [1, 2, 16, 48])
def test_few_rows_use_the_transposed_product_without_gradients(monkeypatch: pytest.MonkeyPatch, num_rows: int):
    layer, x, plain = Linear(20, 30), torch.randn(num_rows, 20), []
    monkeypatch.setattr(torch.nn.Linear, "forward", lambda _, x: plain.append(None) or x.new_zeros(len(x), 30))
    layer(x)
    assert len(plain) == 1
    with torch.no_grad():
        layer(x)
        assert len(plain) == 1
        layer(torch.randn(100, 20))
    assert len(plain) == 2
