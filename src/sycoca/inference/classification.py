"""Zero-shot classification: images are compared with prompts such as "a photo of a cat."."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict, assert_never, final, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from rich.console import Console
from torch import Tensor

from sycoca.data.choices import check_choice
from sycoca.data.class_lists import NamedClass
from sycoca.facts.limit_facts import AbilityName
from sycoca.inference.prompts import Scorer, class_prompts
from sycoca.model.packing import Packing
from sycoca.model.sycoca import SyCoCa
from sycoca.precision import precise_product
from sycoca.preprocess.token_batch import TokenBatch
from sycoca.progress_bar import tracked
from sycoca.records import EncodedImages
from sycoca.weights.config import WeightsConfig
from sycoca.weights.limits import why_missing

PHOTO_TEMPLATES = ("a photo of a {}.",)
"""The default prompt (CLIP, arXiv 2103.00020, section 3.1.4)."""


class PromptOptions(TypedDict, total=False):
    """Prompt templates and scorer as keywords of `Predictor.classify`."""

    templates: Sequence[str]
    scorer: Scorer


Tokenize = Callable[[Sequence[str]], TokenBatch]

_ROWS_AT_ONCE = 256
"""Pairs of image and prompt per forward pass: each of their tokens has logits over the whole vocabulary."""


def class_embeds(
    embed_texts: Callable[[Sequence[str]], Tensor],
    classes: Sequence[NamedClass],
    templates: Sequence[str],
    *,
    console: Console | None = None,
) -> Float[Tensor, "classes embed"]:
    """Return each class's embedding, L2-normalized: the mean of its prompts' normalized embeddings.

    CLIP's prompt ensemble (arXiv 2103.00020, section 3.1.4). Classes of the same name share one embedding, so they tie.
    """
    # By names: classes of the same name go through the text encoder once.
    distinct = {one.wordings: one for one in classes}
    vectors = {
        wordings: F.normalize(embed_texts(class_prompts(one, templates)).mean(0), dim=0)
        for wordings, one in tracked(distinct.items(), len(distinct), "embedding classes", console=console)
    }
    return torch.stack([vectors[one.wordings] for one in classes])


@final
class ClassLikelihoods:
    """Scores classes by the log-likelihood of their prompts; the prompts go through the text encoder once."""

    def __init__(
        self, model: SyCoCa, tokenize: Tokenize, classes: Sequence[NamedClass], templates: Sequence[str]
    ) -> None:
        self._model = model
        prompts = [class_prompts(one, templates) for one in classes]
        self._num_prompts = [len(own) for own in prompts]
        self._texts = tokenize([prompt for own in prompts for prompt in own])
        self._token_states = model.encode_texts(self._texts.tokens, self._texts.is_padding).token_states
        # A prompt is only the beginning of a caption, so eos is no label.
        self._is_label = ~self._texts.is_padding[:, 1:]
        self._is_label &= self._is_label.cumsum(1) < self._is_label.sum(1, keepdim=True)

    def of(self, images: EncodedImages) -> Float[Tensor, "images classes"]:
        """Return the log-probability, natural logarithm, that an image's caption begins with a class's prompt.

        For a class with several prompts, that of the mean of their probabilities. Names that are frequent in captions
        score higher.
        """
        memory = self._model.memory(images)
        images_at_once = max(1, _ROWS_AT_ONCE // len(self._token_states))
        by_prompt = torch.cat([self._of_all_prompts(block) for block in memory.split(images_at_once)])
        by_class = by_prompt.split(self._num_prompts, dim=1)
        return torch.stack([own.logsumexp(1) - math.log(own.shape[1]) for own in by_class], dim=1)

    def _of_all_prompts(self, memory: Float[Tensor, "images memory memory_width"]) -> Float[Tensor, "images prompts"]:
        starts = range(0, len(self._token_states), _ROWS_AT_ONCE)
        return torch.cat([self._of_prompts(memory, slice(start, start + _ROWS_AT_ONCE)) for start in starts], dim=1)

    def _of_prompts(
        self, memory: Float[Tensor, "images memory memory_width"], prompts: slice
    ) -> Float[Tensor, "images prompts"]:
        num_images = len(memory)
        token_states = self._token_states[prompts, :-1].repeat(num_images, 1, 1)
        is_label = self._is_label[prompts].repeat(num_images, 1)
        with_label = Packing(is_label)
        labels = with_label.values(self._texts.tokens[prompts, 1:].repeat(num_images, 1))
        states = with_label.values(self._model.caption_states(token_states, memory, with_label))
        log_probs = self._model.vocabulary_logits(states).log_softmax(-1)
        token_log_probs = log_probs.gather(1, labels[:, None]).squeeze(1)
        by_position = token_log_probs.new_zeros(is_label.shape).masked_scatter(is_label, token_log_probs)
        return by_position.sum(1).view(num_images, -1)


_ABILITIES: Mapping[Scorer, AbilityName] = {"cosine": "similarities", "likelihood": "captions"}


def scorer_ability(scorer: Scorer) -> AbilityName:
    """Return what a model must be able to do for a scorer. Raises ValueError for another scorer."""
    check_choice("scorer", scorer, get_args(Scorer))
    return _ABILITIES[scorer]


def head_names(config: WeightsConfig) -> tuple[str, ...]:
    """Return the classes that a fine-tuned model's head chooses from. Raises ValueError for a model without one."""
    if config.class_names is None:
        missing = why_missing(config, "class_head")
        raise ValueError(
            f"{missing}; or name the classes, for which it needs none (sycoca classify and evaluate zero-shot take"
            " --class-names cat,dog)"
        )
    return config.class_names


def image_scorer(
    model: SyCoCa,
    config: WeightsConfig,
    tokenize: Tokenize,
    embed_texts: Callable[[Sequence[str]], Tensor],
    classes: Sequence[NamedClass] | None,
    *,
    templates: Sequence[str] = PHOTO_TEMPLATES,
    scorer: Scorer = "cosine",
) -> Callable[[EncodedImages], Float[Tensor, "batch classes"]]:
    """Return a function from encoded images to logits of the classes; without classes those of the model's head."""
    if classes is None:
        head_names(config)
        return model.class_logits
    match scorer:
        case "cosine":
            columns = class_embeds(embed_texts, classes, templates).T
            return lambda images: (
                model.logit_scale() * precise_product(images.image_embeds, columns.to(images.image_embeds))
            )
        case "likelihood":
            return ClassLikelihoods(model, tokenize, classes, templates).of
        case unknown:
            assert_never(unknown)
