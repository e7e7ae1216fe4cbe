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
