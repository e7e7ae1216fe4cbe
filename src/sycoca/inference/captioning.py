"""Caption generation with key-value caches, and the log-likelihood of given captions."""

from collections.abc import Sequence
from typing import assert_never, final

from jaxtyping import Float, Int
from torch import Tensor

from sycoca.inference.decoding.beam_search import BeamLimits, beam_search
from sycoca.inference.decoding.generation import GeneratedCaption, generate
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.decoding.sampling import Sampling
from sycoca.model.packing import Packing
from sycoca.model.sycoca import SyCoCa
from sycoca.preprocess.token_batch import TokenBatch
from sycoca.preprocess.tokenizer import SpecialTokens
from sycoca.randomness import derive_generator


@final
class CaptionRows:
    """Next-token predictions with key-value caches; each image's cross-attention keys are computed once.

    With ``prompts``, one per image and with bos, every row continues its image's prompt instead of bos alone.
    """

    def __init__(
        self,
        model: SyCoCa,
        memory: Float[Tensor, "images memory memory_width"],
        *,
        rows_per_image: int,
        max_tokens: int,
        prompts: Int[Tensor, "images prompt"] | None = None,
    ) -> None:
        self._model = model
        num_prompted = 1 if prompts is None else prompts.shape[1]
        self._state = model.start_decoding(memory, max_tokens + num_prompted - 1)
        self._prompts = prompts
        self._rows_per_image = rows_per_image
        self._num_images = len(memory)
        self._device = memory.device

    def advance(self, tokens: Int[Tensor, " rows"]) -> Float[Tensor, "rows vocab"]:
        """Append one token to every row, the first being bos; return the logits of the next."""
        new = tokens[:, None]
        if self._prompts is not None:
            new, self._prompts = self._prompts.repeat_interleave(self._rows_per_image, 0), None
        return self._model.next_token_logits(new.to(self._device), self._state)

    def reorder(self, rows: Int[Tensor, " kept"]) -> None:
        """Let row i continue row ``rows[i]`` of the same image; images without rows are dropped."""
        rows = rows.to(self._device)
        images = rows[:: self._rows_per_image] // self._rows_per_image
        if len(images) == self._num_images:
            self._state.reorder(rows)
        else:
            self._state.keep_images(images, rows)
            self._num_images = len(images)


def most_new_tokens(config: GenerationConfig, context_length: int) -> int:
    """Return the largest number of tokens of a caption, without bos and eos.

    Raises ValueError where the config asks for more than the model was trained on.
    """
    most = context_length - 2
    if max(config.max_tokens or 0, config.min_tokens) > most:
        raise ValueError(f"the model captions with at most {most} tokens; lower max_tokens and min_tokens to that")
    return most if config.max_tokens is None else config.max_tokens


def generate_captions(
    model: SyCoCa,
    memory: Float[Tensor, "images memory memory_width"],
    special: SpecialTokens,
    config: GenerationConfig,
    *,
    first_index: int = 0,
    indices: Sequence[int] | None = None,
) -> list[GeneratedCaption]:
    """Generate one caption per image; ``first_index`` is the first image's index in the whole list.

    ``indices`` are those of all images, where they do not follow each other. Sampling is seeded by the config's seed
    and an image's index, so captions do not depend on the batches.
    """
    max_tokens = most_new_tokens(config, model.config.text_encoder.context_length)
    rows = CaptionRows(model, memory, rows_per_image=config.num_beams, max_tokens=max_tokens)
    own = range(first_index, first_index + len(memory)) if indices is None else indices
    return _decoded(rows, special, config, own, max_tokens)


def continue_prompts(
    model: SyCoCa,
    memory: Float[Tensor, "images memory memory_width"],
    prompts: Int[Tensor, "images prompt"],
    special: SpecialTokens,
    config: GenerationConfig,
    *,
    indices: Sequence[int],
) -> list[GeneratedCaption]:
    """Generate a continuation of each image's prompt, which begins with bos; results do not include the prompt.

    ``indices`` are those of the prompts in the whole list; they seed sampling. ``max_tokens`` is limited to what the
    prompt leaves of the context; raises ValueError where that is less than ``min_tokens``.
    """
    room = model.config.text_encoder.context_length - prompts.shape[1] - 1
    if room < max(1, config.min_tokens):
        raise ValueError(
            f"a text of {prompts.shape[1]} tokens leaves room for {max(0, room)} more; shorten it or lower min_tokens"
        )
    max_tokens = room if config.max_tokens is None else min(room, config.max_tokens)
    rows = CaptionRows(model, memory, rows_per_image=config.num_beams, max_tokens=max_tokens, prompts=prompts)
    return _decoded(rows, special, config, indices, max_tokens)


def _decoded(
    rows: CaptionRows, special: SpecialTokens, config: GenerationConfig, indices: Sequence[int], max_tokens: int
) -> list[GeneratedCaption]:
    match config.strategy:
        case "greedy" | "sampling":
            return generate(
                rows,
                len(indices),
                special,
                min_tokens=config.min_tokens,
                max_tokens=max_tokens,
                sampling=_sampling(config, indices),
            )
        case "beam_search":
            limits = BeamLimits(
                num_beams=config.num_beams,
                length_penalty=config.length_penalty,
                min_tokens=config.min_tokens,
                max_tokens=max_tokens,
            )
            return beam_search(rows, len(indices), special, limits)
        case unknown:
            assert_never(unknown)


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
    gains = log_probs.gather(1, with_label.values(texts.tokens[:, 1:])[:, None]).squeeze(1)
    return gains.new_zeros(has_label.shape).masked_scatter(has_label, gains)


def _sampling(config: GenerationConfig, indices: Sequence[int]) -> Sampling | None:
    if config.temperature is None:
        return None
    return Sampling(
        generators=[derive_generator(config.seed, "drawn caption", index) for index in indices],
        temperature=config.temperature,
        top_k=config.top_k,
        top_p=config.top_p,
    )
