import numpy as np
import pytest
import torch

from sycoca.outputs.tensor_bytes import tensor_bytes


def test_bytes_are_in_the_order_of_the_elements():
    matrix = torch.arange(6, dtype=torch.int16).reshape(2, 3).T
    assert bytes(tensor_bytes(matrix)) == np.array([0, 3, 1, 4, 2, 5], dtype="<i2").tobytes()


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        (torch.tensor(1.0, dtype=torch.bfloat16), b"\x80\x3f"),
        (torch.tensor([True, False]), b"\x01\x00"),
        (torch.empty(0, 4), b""),
        (torch.ones(1, requires_grad=True), b"\x00\x00\x80\x3f"),
    ],
    ids=["a scalar of 16 bits", "truths", "nothing", "a parameter"],
)
def test_every_tensor_has_bytes(tensor: torch.Tensor, expected: bytes):
    assert bytes(tensor_bytes(tensor)) == expected
