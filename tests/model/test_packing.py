import pytest
import torch

from sycoca.model.packing import Packing


def test_unpacking_restores_real_positions_and_zeros_padding():
    is_real = torch.tensor([[True, True, False], [True, False, False], [True, True, True]])
    padded = torch.randn(3, 3, 4, dtype=torch.float64)
    packing = Packing(is_real)
    packed = packing.pack(padded)
    assert torch.equal(packed[0], padded[is_real])
    assert torch.equal(packing.unpack(packed), padded.where(is_real[:, :, None], 0.0))


def test_packing_and_unpacking_pass_gradients():
    is_real = torch.tensor([[True, False], [True, True]])
    packing, padded = Packing(is_real), torch.randn(2, 2, 3, requires_grad=True)
    (packing.unpack(packing.pack(padded) * 2) ** 2).sum().backward()
    torch.testing.assert_close(padded.grad, (8 * padded).where(is_real[:, :, None], 0.0))


def test_rows_may_be_reshaped_before_packing():
    packing = Packing(torch.tensor([[True, True], [True, False]]))
    padded = torch.randn(2, 2, 3)
    assert torch.equal(packing.pack(padded.reshape(1, 4, 3)), packing.pack(padded))


def test_a_given_number_of_real_positions_gives_the_same_packing():
    is_real, padded = torch.tensor([[True, False], [True, True]]), torch.randn(2, 2, 3)
    assert torch.equal(Packing(is_real, 3).pack(padded), Packing(is_real).pack(padded))
    on_device = Packing(is_real.to("meta"), 3)
    assert on_device.pack(padded.to("meta")).shape == (1, 3, 3)


def test_a_wrong_number_of_real_positions_is_refused():
    with pytest.raises(ValueError, match="the batch has 3 real positions, not 4"):
        Packing(torch.tensor([[True, False], [True, True]]), 4)
