"""What the text decoder sees of each image in training: the patches that match the caption best, or all of them."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sycoca.model.draws import uniform_draws
from sycoca.model.patches import PatchSplit
from sycoca.model.sycoca import SyCoCa
from sycoca.records import EncodedImages


class CaptionerView(NamedTuple):
    """The text decoder's memory, and which of it the captions may attend to."""

    memory: Float[Tensor, "batch memory memory_width"]
    """As `SyCoCa.memory` returns it."""

    may_attend: Bool[Tensor, "batch memory"] | None
    """None where captions may attend to all of it."""


def captioner_view(
    model: SyCoCa,
    images: EncodedImages,
    hidden: PatchSplit | None,
    draw_keys: Int[Tensor, " batch"],
    share: float,
) -> CaptionerView:
    """Return the view without the ``hidden`` patches for a ``share`` of the images, of all patches for the others.

    Where both kinds may occur, one pass serves both: the memory has all patches, and a mask keeps captions from hidden
    ones. Two passes of rows would have shapes that depend on the draws, which torch.compile and a GPU's host would wait
    for, and processes that shard the parameters would gather them different numbers of times. Pooled memories have
    equal shapes either way.
    """
    if hidden is None:
        return CaptionerView(model.memory(images), None)
    if share == 1:
        return CaptionerView(model.memory(images, hidden.others), None)
    is_hiding = uniform_draws(draw_keys, "has patches hidden from captioning", [], hidden.chosen.device) < share
    if model.image_encoder.pooling is None:
        return CaptionerView(model.memory(images), ~(hidden.is_chosen & is_hiding.unsqueeze(1)))
    of_others, of_all = model.memory(images, hidden.others), model.memory(images)
    return CaptionerView(torch.where(is_hiding[:, None, None], of_others, of_all), None)
