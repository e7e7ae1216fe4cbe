"""Loading of tensors into a model that may have others, or another image size."""

from collections.abc import Mapping

from torch import Tensor

from sycoca.model.patches import resize_positions
from sycoca.model.sycoca import SyCoCa

_PATCH_POSITIONS = {"image_encoder.positions", "image_decoder.positions"}
"""Names of the tensors with one row per patch."""


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
