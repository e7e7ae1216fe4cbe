"""What the text decoder is given of a pair in training: caption and image, no image, or nothing of the caption.

The draw of a pair depends on its key alone, and one draw decides: no pair lacks both.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sycoca.model.draws import uniform_draws
from sycoca.model.empty_memory import empty_memory
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.records import ImageTextBatch


def decoder_inputs(
    model: SyCoCa,
    token_states: Float[Tensor, "batch inputs width"],
    memory: Float[Tensor, "batch memory memory_width"],
    batch: ImageTextBatch,
    objectives: ObjectivesConfig,
) -> tuple[Float[Tensor, "batch inputs width"], Float[Tensor, "batch memory memory_width"]]:
    """Return the text decoder's inputs, given the states of each caption but its end and the memory of each image.

    Of the share ``captioning_dropped_share`` the image is missing, so that the decoder learns how probable captions are
    by themselves (classifier-free guidance of captions, Kornblith et al., arXiv 2307.16686). Of the share
    ``captioning_parallel_share`` the words are missing, so that all tokens are predicted at once from the image
    (CapPa, Tschannen et al., arXiv 2306.07915, section 3).
    """
    dropped, parallel = objectives.captioning_dropped_share, objectives.captioning_parallel_share
    if dropped == 0 and parallel == 0:
        return token_states, memory
    draws = uniform_draws(batch.draw_keys, "inputs of captioning", (1, 1), memory.device)
    if dropped > 0:
        memory = torch.where(draws < dropped, empty_memory(memory), memory)
    if parallel > 0:
        token_states = torch.where(draws >= 1 - parallel, _wordless_states(model, batch), token_states)
    return token_states, memory


def _wordless_states(model: SyCoCa, batch: ImageTextBatch) -> Float[Tensor, "1 inputs width"]:
    """Return the states of bos at every position: one row for all captions, since attention is causal.

    So they know neither words nor the caption's length; what tells them apart is their position alone. Only at the
    first position bos stands in captions, too, and there both predict the first token from the image.
    """
    bos = batch.tokens[:1, :1].expand(1, batch.tokens.shape[1] - 1)
    no_padding: Bool[Tensor, "1 inputs"] = torch.zeros_like(bos, dtype=torch.bool)
    return model.encode_texts(bos, no_padding, bos.shape[1]).token_states
