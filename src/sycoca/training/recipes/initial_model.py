"""The model that training starts from: randomly initialized, or loaded from weights."""

from collections.abc import Mapping

import torch
from torch import Tensor

from sycoca.model.config import SyCoCaConfig
from sycoca.model.patches import resize_positions
from sycoca.model.sycoca import SyCoCa
from sycoca.randomness import derive_key

_PATCH_POSITIONS = {"image_encoder.positions", "image_decoder.positions"}
"""Names of the tensors with one row per patch."""


def build_model(config: SyCoCaConfig, seed: int) -> SyCoCa:
    """Build the model with random weights that depend on the seed alone."""
    # PyTorch's layers initialize from the global generator: its state is saved and restored.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_key(seed, "model"))
        return SyCoCa(config)


def fill_model(model: SyCoCa, tensors: Mapping[str, Tensor]) -> frozenset[str]:
    """Load the tensors whose names the model has, and return these names.

    Position embeddings of patches are interpolated to the model's grid. Raises ValueError where a tensor has another
    shape, and where the model has none of the tensors.
    """
    own = model.state_dict()
    shared = {name: tensor.to(own[name].dtype) for name, tensor in tensors.items() if name in own}
    for name in _PATCH_POSITIONS & shared.keys():
        shared[name] = resize_positions(shared[name], model.config.image_encoder.num_patches)
    for name, tensor in shared.items():
        if tensor.shape != own[name].shape:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)} in the weights and {tuple(own[name].shape)} in the model"
            )
    if not shared:
        raise ValueError("the model has none of the weights' tensors: nothing would be loaded")
    model.load_state_dict(own | shared)
    return frozenset(shared)
