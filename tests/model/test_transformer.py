import torch
from torch import Tensor, nn

from sycoca.model.config import MLP_RATIO
from sycoca.model.linear import Linear
from sycoca.model.transformer import Mlp


def test_an_mlp_saves_its_input_and_one_hidden_tensor_for_backward():
    mlp, norm, x = Mlp(5, "gelu"), nn.LayerNorm(5), torch.randn(2, 3, 5, requires_grad=True)
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            sizes[tensor.untyped_storage().data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = mlp(x, norm)
    out.sum().backward()
    assert sorted(sizes.values()) == [6, 6, 6 * 5, 6 * 5 * MLP_RATIO]  # the norm's statistics, x, hidden features


def test_recomputed_inputs_give_the_gradients_of_saved_ones():
    norm, x = nn.LayerNorm(5).double(), torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    nn.init.normal_(norm.weight)
    layer = Linear(5, 7).double()
    for ours, plain, inputs in (
        (layer.after_norm(norm, x), layer(norm(x)), (x, *norm.parameters(), *layer.parameters())),
        (layer.after_activation("gelu", x), layer(nn.functional.gelu(x)), (x, *layer.parameters())),
    ):
        assert torch.equal(ours, plain)
        own, expected = (torch.autograd.grad(out.square().sum(), inputs) for out in (ours, plain))
        for left, right in zip(own, expected, strict=True):
            torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-13)


def test_under_autocast_gradients_have_the_dtypes_of_their_tensors():
    norm, x, layer = nn.LayerNorm(8), torch.randn(4, 8, requires_grad=True), Linear(8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer.after_activation("gelu", layer.after_norm(norm, x))
        plain = layer(nn.functional.gelu(layer(norm(x))))
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out, plain)
    inputs = (x, *norm.parameters(), *layer.parameters())
    ours, expected = (torch.autograd.grad(result.float().sum(), inputs) for result in (out, plain))
    for left, right in zip(ours, expected, strict=True):
        assert left.dtype == torch.float32
        torch.testing.assert_close(left, right, rtol=0.02, atol=0.02)
