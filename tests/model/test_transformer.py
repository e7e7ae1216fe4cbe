import torch
from torch import Tensor

from sycoca.model.transformer import MLP_RATIO, Mlp


def test_an_mlp_keeps_one_of_its_wide_tensors_for_backward():
    mlp, x = Mlp(5), torch.randn(2, 3, 5, requires_grad=True)
    wide: set[int] = set()

    def keep(tensor: Tensor) -> Tensor:
        if tensor.shape[-1] == MLP_RATIO * 5 and tensor.numel() == 6 * MLP_RATIO * 5:
            wide.add(tensor.data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = mlp(x)
    out.sum().backward()
    assert len(wide) <= 1


def test_an_mlp_computed_again_has_the_gradients_of_one_that_is_not():
    mlp, x = Mlp(5).double(), torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    inputs = (x, *mlp.parameters())
    plain = mlp.contract(torch.nn.functional.gelu(mlp.expand(x)))
    ours, theirs = (torch.autograd.grad(out.square().sum(), inputs) for out in (mlp(x), plain))
    for own, expected in zip(ours, theirs, strict=True):
        assert torch.equal(own, expected)
