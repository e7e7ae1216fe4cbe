"""The log-likelihood of given captions."""

from jaxtyping import Float
from torch import Tensor

from sycoca.model.packing import Packing
from sycoca.model.sycoca import SyCoCa
from sycoca.preprocess.token_batch import TokenBatch


def caption_log_likelihoods(
    model: SyCoCa, memory: Float[Tensor, "images memory memory_width"], texts: TokenBatch, *, per_token: bool
) -> Float[Tensor, " rows"]:
    """Return the log-probability of each caption given its image, eos included; natural logarithm.

    Every image has the same number of captions, side by side; its keys and values are computed once. ``per_token``
    divides by the number of tokens, so that long and short captions are comparable.
    """
    totals = token_log_likelihoods(model, memory, texts).sum(1)
    return totals / (~texts.is_padding[:, 1:]).sum(1) if per_token else totals


def token_log_likelihoods(
    model: SyCoCa, memory: Float[Tensor, "images memory memory_width"], texts: TokenBatch
) -> Float[Tensor, "rows labels"]:
    """Return the log-probability of each token after bos given the image and all tokens before; 0 for padding.

    The natural logarithm, in at least float32. Images have several captions as in `caption_log_likelihoods`.
    """
    token_states = model.encode_texts(texts.tokens, texts.is_padding).token_states
    has_label = ~texts.is_padding[:, 1:]
    with_label = Packing(has_label)
    states = with_label.values(model.caption_states(token_states[:, :-1], memory, with_label))
    log_probs = model.vocabulary_logits(states).log_softmax(-1)
    token_log_probs = log_probs.gather(1, with_label.values(texts.tokens[:, 1:])[:, None]).squeeze(1)
    return token_log_probs.new_zeros(has_label.shape).masked_scatter(has_label, token_log_probs)
