"""Caption generation: from images, or from images and prompts."""

from collections.abc import Sequence
from typing import assert_never

from jaxtyping import Float, Int
from torch import Tensor

from sycoca.inference.caption_rows import CaptionRows
from sycoca.inference.decoding.beam_search import BeamLimits, beam_search
from sycoca.inference.decoding.generation import GeneratedCaption, NextTokens, generate
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.decoding.sampling import Sampling
from sycoca.inference.guidance import GuidedRows, with_likelihoods
from sycoca.model.sycoca import SyCoCa
from sycoca.preprocess.tokenizer import SpecialTokens
from sycoca.randomness import derive_generator


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
    own = range(first_index, first_index + len(memory)) if indices is None else indices
    return _generated(model, memory, None, special, config, own, max_tokens)


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
    return _generated(model, memory, prompts, special, config, indices, max_tokens)


def _generated(
    model: SyCoCa,
    memory: Float[Tensor, "images memory memory_width"],
    prompts: Int[Tensor, "images prompt"] | None,
    special: SpecialTokens,
    config: GenerationConfig,
    indices: Sequence[int],
    max_tokens: int,
) -> list[GeneratedCaption]:
    """Generate with or without guidance; log-likelihoods are the model's own, given the image, in both cases."""
    beams, scale = config.num_beams, config.guidance_scale
    if not config.is_guided:
        rows = CaptionRows(model, memory, rows_per_image=beams, max_tokens=max_tokens, prompts=prompts)
        return _decoded(rows, special, config, indices, max_tokens)
    guided = GuidedRows(model, memory, scale=scale, rows_per_image=beams, max_tokens=max_tokens, prompts=prompts)
    captions = _decoded(guided, special, config, indices, max_tokens)
    return with_likelihoods(model, memory, captions, special, prompts)


def _decoded(
    rows: NextTokens, special: SpecialTokens, config: GenerationConfig, indices: Sequence[int], max_tokens: int
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


def _sampling(config: GenerationConfig, indices: Sequence[int]) -> Sampling | None:
    if config.temperature is None:
        return None
    return Sampling(
        generators=[derive_generator(config.seed, "drawn caption", index) for index in indices],
        temperature=config.temperature,
        top_k=config.top_k,
        top_p=config.top_p,
    )
