"""Tensors of image encoders that ours do not have, multiplied into or added to others, which is equivalent."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Shaped
from torch import Tensor

_PATCH_BIASES = (
    ("embeddings.patch_embeddings.projection.bias", "embeddings.position_embeddings", 1),
    ("embeddings.patch_embedding.bias", "embeddings.position_embedding.weight", 0),
)
"""The names of the patch embedding's bias and of the position embeddings, and how many of these are of no patch."""

_SCALED_LAYERS = {
    "1": ("attention.output.dense", "attention.o_proj"),
    "2": ("mlp.fc2", "mlp.weights_out", "mlp.down_proj"),
}
"""The layers, one of each, whose outputs DINOv2's and DINOv3's layer scales multiply."""


def without_layer_scale(tensors: Mapping[str, Shaped[Tensor, "..."]]) -> dict[str, Shaped[Tensor, "..."]]:
    """Return the tensors with each layer scale multiplied into the layer before it."""
    without = {name: tensor for name, tensor in tensors.items() if ".layer_scale" not in name}
    for name, scale in tensors.items():
        block, found, number = name.removesuffix(".lambda1").partition(".layer_scale")
        if found:
            for scaled in (
                f"{block}.{layer}.{kind}" for layer in _SCALED_LAYERS[number] for kind in ("weight", "bias")
            ):
                if scaled in without:
                    own = without[scaled]
                    without[scaled] = scale.reshape(-1, *(1,) * (own.dim() - 1)) * own
    return without


def without_patch_bias(tensors: Mapping[str, Shaped[Tensor, "..."]]) -> dict[str, Shaped[Tensor, "..."]]:
    """Return the tensors with the patch embedding's bias added to the learned position embeddings, if there are any."""
    without = dict(tensors)
    for bias_name, positions_name, num_extra in _PATCH_BIASES:
        if bias_name in tensors and positions_name in tensors:
            positions = tensors[positions_name]
            with_bias = positions[..., num_extra:, :] + without.pop(bias_name)
            without[positions_name] = torch.cat([positions[..., :num_extra, :], with_bias], dim=-2)
    return without


def with_projected_probe(tensors: Mapping[str, Shaped[Tensor, "..."]]) -> dict[str, Shaped[Tensor, "..."]]:
    """Return the tensors with the probe of SigLIP's head projected to its query, and keys and values by themselves."""
    names = ("head.probe", "head.attention.in_proj_weight", "head.attention.in_proj_bias")
    others = {name: tensor for name, tensor in tensors.items() if name not in names}
    if not all(name in tensors for name in names):
        return dict(tensors)
    probe, weight, bias = (tensors[name] for name in names)
    width = weight.shape[1]
    query = torch.nn.functional.linear(probe.flatten(), weight[:width], bias[:width])
    return {**others, "head.query": query, "head.key_value.weight": weight[width:], "head.key_value.bias": bias[width:]}


def with_zero_biases(
    tensors: Mapping[str, Shaped[Tensor, "..."]], layers: Sequence[str]
) -> dict[str, Shaped[Tensor, "..."]]:
    """Return the tensors with a bias of zeros for every weight whose name ends with one of the ``layers``."""
    weights = {name.removesuffix(".weight"): tensor for name, tensor in tensors.items() if name.endswith(".weight")}
    zeros = {f"{name}.bias": own.new_zeros(len(own)) for name, own in weights.items() if name.endswith(tuple(layers))}
    return {**zeros, **tensors}
