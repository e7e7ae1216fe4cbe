"""Captions from a model: decoding with its caches, and how likely it finds a given caption."""

from collections.abc import Sequence
from typing import final

from jaxtyping import Float, Int
from torch import Tensor

from sycoca.inference.beam_search import BeamLimits, beam_search
from sycoca.inference.generation import GeneratedCaption, generate
from sycoca.inference.generation_config import GenerationConfig
from sycoca.inference.sampling import Sampling
from sycoca.model.sycoca import SyCoCa
from sycoca.preprocess.token_batch import TokenBatch
from sycoca.preprocess.tokenizer import SpecialTokens
from sycoca.randomness import derive_generator


@final
class CaptionRows:
    """The model's next-token predictions with its caches; each image's cross-attention keys are computed once."""

    def __init__(
        self,
        model: SyCoCa,
        memory: Float[Tensor, "images memory memory_width"],
        *,
        rows_per_image: int,
        max_tokens: int,
    ) -> None:
        self._model = model
        self._state = model.start_decoding(memory, max_tokens)
        self._rows_per_image = rows_per_image
        self._num_images = len(memory)
        self._device = memory.device

    def advance(self, tokens: Int[Tensor, " rows"]) -> Float[Tensor, "rows vocab"]:
        """Append one token to every row; return the logits of the next."""
        return self._model.next_token_logits(tokens[:, None].to(self._device), self._state)

    def reorder(self, rows: Int[Tensor, " kept"]) -> None:
        """Let row i go on from row ``rows[i]`` of the same image; images without rows are dropped."""
        rows = rows.to(self._device)
        images = rows[:: self._rows_per_image] // self._rows_per_image
        if len(images) == self._num_images:
            self._state.reorder(rows)
        else:
            self._state.keep_images(images, rows)
            self._num_images = len(images)


def most_new_tokens(config: GenerationConfig, context_length: int) -> int:
    """Return how many tokens a caption may have, bos and eos not counted.

    Raises ValueError where the config asks for more than the model was trained on.
    """
    most = context_length - 2
    if max(config.max_tokens or 0, config.min_tokens) > most:
        raise ValueError(f"the model knows captions of at most {most} tokens; lower max_tokens and min_tokens to that")
    return most if config.max_tokens is None else config.max_tokens


def generate_captions(
    model: SyCoCa,
    memory: Float[Tensor, "images memory memory_width"],
    special: SpecialTokens,
    config: GenerationConfig,
    *,
    first_index: int = 0,
) -> list[GeneratedCaption]:
    """Generate one caption per image; ``first_index`` is the first image's place in the whole list.

    Drawing derives from the config's seed and an image's place, so batches may be cut anywhere.
    """
    max_tokens = most_new_tokens(config, model.config.text_encoder.context_length)
    rows = CaptionRows(model, memory, rows_per_image=config.num_beams, max_tokens=max_tokens)
    if config.num_beams > 1:
        limits = BeamLimits(
            num_beams=config.num_beams,
            length_penalty=config.length_penalty,
            min_tokens=config.min_tokens,
            max_tokens=max_tokens,
        )
        return beam_search(rows, len(memory), special, limits)
    places = range(first_index, first_index + len(memory))
    return generate(
        rows,
        len(memory),
        special,
        min_tokens=config.min_tokens,
        max_tokens=max_tokens,
        sampling=_sampling(config, places),
    )


def caption_log_likelihoods(
    model: SyCoCa, memory: Float[Tensor, "images memory memory_width"], texts: TokenBatch, *, per_token: bool
) -> Float[Tensor, " rows"]:
    """Return the log-probability of each caption given its image, eos included; natural logarithm.

    Images may have several captions each, as many as one another and side by side; an image's keys and values are
    then computed once. ``per_token`` divides by the number of tokens, so that long captions compare with short ones.
    """
    token_states = model.encode_texts(texts.tokens, texts.is_padding).token_states
    has_label = ~texts.is_padding[:, 1:]
    states = model.caption_states(token_states[:, :-1], memory)[has_label]
    log_probs = model.vocabulary_logits(states).log_softmax(-1)
    gains = log_probs.gather(1, texts.tokens[:, 1:][has_label][:, None]).squeeze(1)
    totals = gains.new_zeros(has_label.shape).masked_scatter(has_label, gains).sum(1)
    return totals / has_label.sum(1) if per_token else totals


def _sampling(config: GenerationConfig, places: Sequence[int]) -> Sampling | None:
    if config.temperature is None:
        return None
    return Sampling(
        generators=[derive_generator(config.seed, "drawn caption", place) for place in places],
        temperature=config.temperature,
        top_k=config.top_k,
        top_p=config.top_p,
    )
