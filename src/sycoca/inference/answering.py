"""Answers to questions about images: ranked by a fine-tuned model's head, or written by its text decoder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sycoca.inference.captioning import continue_prompts
from sycoca.inference.generation_config import GenerationConfig
from sycoca.inference.inputs import ImageInput, check_pairs
from sycoca.model.sycoca import SyCoCa
from sycoca.preprocess.token_batch import pad_tokens
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.weights.config import WeightsConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class RankedAnswer:
    """An answer of the list and how sure the model is of it."""

    answer: str
    """As it stands in the list."""

    probability: float
    """How right the model expects it to be, 0 to 1; the answers' add up to 1 only where the head was trained so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionBlock:
    """As many questions about each of some images, which so share the images' keys and values."""

    images: tuple[int, ...]
    """Which images."""

    questions: tuple[range, ...]
    """Which of each image's questions."""


def question_blocks(num_questions: Sequence[int], most_rows: int) -> Iterator[QuestionBlock]:
    """Yield every question of images that have so many questions once, in blocks of at most ``most_rows``."""
    runs = [
        (image, range(start, min(start + most_rows, count)))
        for image, count in enumerate(num_questions)
        for start in range(0, count, most_rows)
    ]
    for length in sorted({len(run) for _, run in runs}):
        alike = [(image, run) for image, run in runs if len(run) == length]
        images_per_block = most_rows // length
        for start in range(0, len(alike), images_per_block):
            images, questions = zip(*alike[start : start + images_per_block], strict=True)
            yield QuestionBlock(images=images, questions=questions)


def listed_answers(config: WeightsConfig) -> tuple[str, ...]:
    """Return the answers that a fine-tuned model chooses from. Raises ValueError for a model without a list."""
    if config.answers is None:
        raise ValueError(
            "this model has no list of answers to choose from: fine-tune it with sycoca finetune vqa, or let it write"
            " answers (open_ended=True, --open-ended)"
        )
    return config.answers


def rank_answers(
    model: SyCoCa,
    memory: Float[Tensor, "images memory memory_width"],
    questions: Sequence[Sequence[str]],
    tokenizer: Tokenizer,
    config: WeightsConfig,
    *,
    top: int,
    most_rows: int,
) -> list[list[tuple[RankedAnswer, ...]]]:
    """Return the ``top`` answers to every question of every image, the likeliest first.

    Raises ValueError for a model without answer head.
    """
    answers = listed_answers(config)
    found: list[list[tuple[RankedAnswer, ...]]] = [[()] * len(own) for own in questions]
    for block in question_blocks([len(own) for own in questions], most_rows):
        texts = [
            questions[image][place] for image, run in zip(block.images, block.questions, strict=True) for place in run
        ]
        logits = _answer_logits(model, memory[list(block.images)], texts, tokenizer)
        probabilities = logits.softmax(-1) if config.answers_exclude_each_other else logits.sigmoid()
        # Ranked by logits: probabilities near 0 and 1 would tie.
        ranks = logits.topk(min(top, len(answers))).indices
        rows = zip(ranks.tolist(), probabilities.gather(1, ranks).tolist(), strict=True)
        for image, run in zip(block.images, block.questions, strict=True):
            for place in run:
                found[image][place] = tuple(
                    RankedAnswer(answer=answers[index], probability=probability)
                    for index, probability in zip(*next(rows), strict=True)
                )
    return found


def write_answers(
    model: SyCoCa,
    memory: Float[Tensor, "images memory memory_width"],
    questions: Sequence[Sequence[str]],
    tokenizer: Tokenizer,
    generation: GenerationConfig,
    *,
    first_index: int,
    most_rows: int,
) -> list[list[str]]:
    """Return what the text decoder goes on with after every question of every image.

    A question that fills the context is cut before its last tokens. Drawing derives from a question's place in the
    whole list, of which the first one's is ``first_index``. Raises ValueError for a model without text decoder.
    """
    context_length = model.config.text_encoder.context_length
    places = [(image, place) for image, own in enumerate(questions) for place in range(len(own))]
    prompts = [tokenizer.encode(questions[image][place], context_length - 1)[:-1] for image, place in places]
    found = [[""] * len(own) for own in questions]
    for length in sorted(set(map(len, prompts))):
        alike = [index for index, prompt in enumerate(prompts) if len(prompt) == length]
        for start in range(0, len(alike), most_rows):
            indices = alike[start : start + most_rows]
            written = continue_prompts(
                model,
                memory[[places[index][0] for index in indices]],
                torch.tensor([prompts[index] for index in indices]),
                tokenizer.special,
                generation,
                places=[first_index + index for index in indices],
            )
            for index, answer in zip(indices, written, strict=True):
                image, place = places[index]
                found[image][place] = tokenizer.decode(answer.tokens)
    return found


def check_questions(images: Sequence[ImageInput], questions: Sequence[Sequence[str]]) -> None:
    """Refuse what is no list of questions per image; a string would be taken letter by letter."""
    check_pairs(images, questions)
    for own in questions:
        if isinstance(own, str):
            raise ValueError(f"expected a list of questions per image, got the text {own!r}; put it in brackets")


def _answer_logits(
    model: SyCoCa, memory: Float[Tensor, "images memory memory_width"], texts: Sequence[str], tokenizer: Tokenizer
) -> Float[Tensor, "questions answers"]:
    context_length = model.config.text_encoder.context_length
    batch = pad_tokens([tokenizer.encode(text, context_length) for text in texts], tokenizer.special.pad_id)
    tokens, is_padding = batch.tokens.to(memory.device), batch.is_padding.to(memory.device)
    return model.answer_logits(model.encode_texts(tokens, is_padding), is_padding, memory).float()
