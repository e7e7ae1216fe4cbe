import pytest
import torch
import torch.nn.functional as F

from sycoca.model.patches import gather_patches, patchify, resize_positions, true_indices, unpatchify


def test_pixels_of_a_patch_are_ordered_as_in_a_convolution_kernel():
    images = torch.randn(2, 3, 8, 12)
    kernel = torch.randn(5, 3, 4, 4)
    convolved = F.conv2d(images, kernel, stride=4).flatten(2).mT
    torch.testing.assert_close(patchify(images, 4) @ kernel.flatten(1).T, convolved)


def test_unpatchify_inverts_patchify():
    images = torch.randn(2, 3, 12, 12)
    assert torch.equal(unpatchify(patchify(images, 4), 4), images)


def test_patches_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="10 x 8 pixels cannot be cut into patches of 4"):
        patchify(torch.zeros(1, 3, 10, 8), 4)
    with pytest.raises(ValueError, match="6 patches do not make a square image"):
        unpatchify(torch.zeros(1, 6, 48), 4)


def test_gathers_different_patches_per_image():
    patches = torch.arange(12.0).reshape(2, 3, 2)
    gathered = gather_patches(patches, torch.tensor([[2, 0], [1, 1]]))
    assert gathered.tolist() == [[[4, 5], [0, 1]], [[8, 9], [8, 9]]]


def test_true_indices_are_ascending_and_of_one_length():
    choice = torch.tensor([[False, True, True], [True, False, True]])
    assert true_indices(choice).tolist() == [[1, 2], [0, 2]]
    with pytest.raises(ValueError, match=r"same number of chosen patches, got \[2, 1\]"):
        true_indices(torch.tensor([[True, True], [True, False]]))


@pytest.mark.parametrize("num_extra", [0, 1])
def test_positions_of_the_same_grid_are_kept_and_others_interpolated(num_extra: int):
    positions = torch.randn(num_extra + 9, 6)
    assert torch.equal(resize_positions(positions, 9), positions)
    larger = resize_positions(positions, 36)
    assert larger.shape == (num_extra + 36, 6)
    assert torch.equal(larger[:num_extra], positions[:num_extra])
    # A plane is interpolated to a plane: rows stay equal where the grid does not vary along them.
    flat = torch.cat([positions[:num_extra], torch.arange(3.0).repeat_interleave(3).unsqueeze(1).expand(9, 6)])
    grid = resize_positions(flat, 36)[num_extra:].reshape(6, 6, 6)
    torch.testing.assert_close(grid[:, :1].expand(6, 6, 6), grid)
    assert bool((grid[1:, 0, 0] > grid[:-1, 0, 0]).all())


def test_positions_of_a_grid_that_is_not_square_are_refused():
    with pytest.raises(ValueError, match="no square grid"):
        resize_positions(torch.zeros(9, 2), 12)
    with pytest.raises(ValueError, match="no square grid"):
        resize_positions(torch.zeros(8, 2), 16)
