import pytest
import torch

from sycoca.model.packing import Packing, num_packed_rows


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


def test_packed_rows_have_few_sizes_and_little_that_is_not_real():
    sizes = [num_packed_rows(num_real) for num_real in range(1, 2049)]
    assert sizes[:32] == list(range(1, 33))
    assert len({size for size in sizes if 1024 < size <= 2048}) == 16
    assert all(num_real <= size <= num_real * 17 / 16 for num_real, size in enumerate(sizes, 1))


def test_copies_at_the_end_of_packed_rows_change_neither_values_nor_gradients():
    is_real = torch.arange(5) < torch.tensor([[5, 4, 2, 1, 3, 5, 5, 5, 5]]).T
    packing, padded = Packing(is_real), torch.randn(9, 5, 3, dtype=torch.float64, requires_grad=True)
    packed = packing.pack(padded)
    assert packed.shape == (1, num_packed_rows(35), 3) == (1, 36, 3)
    weight = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    packing.unpack(packed @ weight).square().sum().backward()
    plain, own = padded.detach()[is_real].requires_grad_(), weight.detach().clone().requires_grad_()
    (plain @ own).square().sum().backward()
    torch.testing.assert_close(padded.grad[is_real], plain.grad)
    torch.testing.assert_close(weight.grad, own.grad)
