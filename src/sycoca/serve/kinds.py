"""What a server computes in batches. Each function returns a `Kind`, whose inputs a `Batcher` puts together."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from PIL import Image

from sycoca.data.class_lists import named_classes
from sycoca.inference.decoding.generation import GeneratedCaption
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.predictor import Predictor
from sycoca.serve.batching import Kind


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question about a picture."""

    picture: Image.Image
    """The picture."""

    question: str
    """The question."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Captioned:
    """A picture with a caption to explain."""

    picture: Image.Image
    """The picture."""

    caption: str | None
    """The caption; None for the model's own."""

    reconstructs: bool
    """Whether the masked patches are reconstructed, too."""

    edited_caption: str | None = None
    """Another caption under which the same patches are reconstructed."""


def captioning(predictor: Predictor, config: GenerationConfig) -> Kind:
    """Return the captioning of pictures."""

    def compute(pictures: Sequence[Image.Image]) -> list[GeneratedCaption]:
        return list(predictor.generate(pictures, config, batch_size=len(pictures)))

    return Kind(name="caption", compute=compute, options=config)


def image_embedding(predictor: Predictor) -> Kind:
    """Return the embedding of pictures."""
    return Kind(
        name="embed_image",
        compute=lambda pictures: list(predictor.embed_images(pictures, batch_size=len(pictures))),
    )


def text_embedding(predictor: Predictor) -> Kind:
    """Return the embedding of texts."""
    return Kind(name="embed_text", compute=lambda texts: list(predictor.embed_texts(texts, warns=False)))


def answering(predictor: Predictor) -> Kind:
    """Return the answering of questions: from the list of a fine-tuned model, or by the text decoder.

    Results are `RankedAnswer` or `GeneratedCaption`.
    """
    if predictor.config.answers is not None:
        return Kind(name="ask", compute=partial(_listed_answers, predictor))
    return Kind(name="ask", compute=partial(_written_answers, predictor))


def _listed_answers(predictor: Predictor, asked: Sequence[Question]) -> list[Any]:
    answers = predictor.answers(
        [one.picture for one in asked], [[one.question] for one in asked], batch_size=len(asked), warns=False
    )
    return [ranked[0] for [ranked] in answers]


def _written_answers(predictor: Predictor, asked: Sequence[Question]) -> list[Any]:
    answers = predictor.generate_answers(
        [one.picture for one in asked],
        [[one.question] for one in asked],
        GenerationConfig(),
        batch_size=len(asked),
        warns=False,
    )
    return [answer for [answer] in answers]


def classification(predictor: Predictor, class_names: tuple[str, ...] | None) -> Kind:
    """Return the scoring of classes by pictures: logits; without names those of a fine-tuned model's head."""

    def compute(pictures: Sequence[Image.Image]) -> list[Any]:
        classes = None if class_names is None else named_classes(class_names)
        return [row for rows in predictor.class_scores(pictures, classes, batch_size=len(pictures)) for row in rows]

    return Kind(name="classify", compute=compute, options=class_names)


def explanation(predictor: Predictor) -> Kind:
    """Return the explanation of a picture and its caption, one at a time, as plain data for JSON."""

    def compute(pairs: Sequence[Captioned]) -> list[dict[str, object]]:
        explained = (
            predictor.explain(
                pair.picture,
                pair.caption,
                edited_caption=pair.edited_caption,
                reconstructs=pair.reconstructs,
                warns=False,
            )
            for pair in pairs
        )
        return [explanation.to_plain(with_pictures=True) for explanation in explained]

    return Kind(name="explain", compute=compute, is_batched=False)
