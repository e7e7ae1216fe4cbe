import pytest
import torch
from torch import Tensor

from sycoca.weights.conversion.renaming import (
    SCALAR,
    TRANSPOSED,
    Correspondence,
    convolution,
    same,
    to_ours,
    to_theirs,
    weight_and_bias,
)

TABLE = [
    *weight_and_bias("norm", "ln"),
    same("projection.weight", "proj", TRANSPOSED),
    same("patches.weight", "conv.weight", convolution(2)),
    same("log_scale", "scale", SCALAR),
    Correspondence(("query", "key_value"), ("in_proj",)),
    Correspondence(("all",), ("q", "k", "v")),
]
OURS = {
    "norm.weight": torch.randn(3),
    "norm.bias": torch.randn(3),
    "projection.weight": torch.randn(4, 5),
    "patches.weight": torch.randn(6, 12),
    "log_scale": torch.randn(1),
    "query": torch.randn(2, 3),
    "key_value": torch.randn(4, 3),
    "all": torch.randn(6, 2),
}
SHAPES = {name: tuple(tensor.shape) for name, tensor in OURS.items()}


def their_tensors() -> dict[str, Tensor]:
    """The same by hand."""
    queries, keys, values = OURS["all"][:2], OURS["all"][2:4], OURS["all"][4:]
    return {
        "ln.weight": OURS["norm.weight"],
        "ln.bias": OURS["norm.bias"],
        "proj": OURS["projection.weight"].T.contiguous(),
        "conv.weight": OURS["patches.weight"].reshape(6, 3, 2, 2),
        "scale": OURS["log_scale"][0],
        "in_proj": torch.cat([OURS["query"], OURS["key_value"]]),
        "q": queries,
        "k": keys,
        "v": values,
    }


def test_a_table_works_in_both_directions():
    theirs = to_theirs(OURS, TABLE)
    for name, tensor in their_tensors().items():
        assert torch.equal(theirs.pop(name), tensor)
    assert theirs == {}
    ours = to_ours(their_tensors(), TABLE, SHAPES, "file")
    for name, tensor in OURS.items():
        assert torch.equal(ours.pop(name), tensor)
    assert ours == {}


def test_a_scale_may_have_an_axis():
    assert to_ours({"scale": torch.tensor([2.0])}, [TABLE[4]], SHAPES, "file")["log_scale"].tolist() == [2.0]


def test_missing_and_unexpected_tensors_are_listed():
    theirs = their_tensors()
    theirs["unknown.b"] = theirs["unknown.a"] = theirs.pop("q")
    with pytest.raises(ValueError, match=r"^file lacks q$"):
        to_ours(theirs, TABLE, SHAPES, "file")
    theirs["q"] = theirs["unknown.a"]
    with pytest.raises(ValueError, match=r"^file has, unknown to us, unknown\.a, unknown\.b$"):
        to_ours(theirs, TABLE, SHAPES, "file")
    with pytest.raises(ValueError, match=r"unknown to the other format, image_decoder\.positions$"):
        to_theirs(OURS | {"image_decoder.positions": torch.zeros(1)}, TABLE)
    many = {f"extra.{number:02}": torch.zeros(1) for number in range(20)}
    with pytest.raises(ValueError, match=r"extra\.11 and 8 more$"):
        to_ours(their_tensors() | many, TABLE, SHAPES, "file")


def test_another_shape_is_named():
    with pytest.raises(ValueError, match=r"has in_proj in a shape that makes \(5, 3\), not \(6, 3\) as query, key_v"):
        to_ours(their_tensors() | {"in_proj": torch.zeros(5, 3)}, TABLE, SHAPES, "file")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_refused_by_name(value: float):
    theirs = their_tensors()
    theirs["k"] = theirs["k"].clone()
    theirs["k"][0, 1] = value
    with pytest.raises(ValueError, match=r"^file has values that are not finite .* in q, k, v$"):
        to_ours(theirs, TABLE, SHAPES, "file")
