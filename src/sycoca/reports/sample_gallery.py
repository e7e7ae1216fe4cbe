"""Examples for a report: what a model finds, says, looks at and imagines on samples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from PIL import Image

from sycoca.data.loading.skipping import named
from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.inference.explanation import Explanation
from sycoca.inference.inputs import open_image
from sycoca.inference.predictor import Predictor
from sycoca.preprocess.image_transforms import image_threads, inference_image, smallest_inference_side, to_pictures
from sycoca.reports.pictures import Picture, data_uri, score_overlay, without_patches
from sycoca.unusable import SkippedSample, UnusableSampleError

_WORD_PIXELS = 84

CaptionCheck = Callable[[int, str], bool]
"""Says whether a caption is true of sample number i."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrievalExample:
    """A caption and the images that the model finds for it."""

    caption: str
    """The query."""

    rank: int
    """Place of the right image among all, from 1."""

    num_images: int
    """Among how many."""

    hits: tuple["Hit", ...]
    """The best images, best first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """An image that was found."""

    picture: str
    """As a data URI."""

    is_right: bool
    """Whether the query belongs to it."""

    similarity: float
    """Cosine with the query."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionExample:
    """An image, what the model says about it, and what people said."""

    picture: str
    """As a data URI."""

    generated: str
    """The model's caption."""

    references: tuple[str, ...]
    """The sample's own captions."""

    is_true: bool | None
    """Whether the model's caption is true; None where nobody knows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerExample:
    """An image, what the model answers about it, and what is right."""

    picture: str
    """As a data URI."""

    question: str | None
    """What was asked; None where it is the class, as for every image."""

    answer: str
    """The likeliest answer or class."""

    probability: float
    """How sure the model is, 0 to 1."""

    references: tuple[str, ...]
    """What people answered, or the true class."""

    is_right: bool
    """Whether the answer counts as right."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskExample:
    """An image and a caption: how they match, what is hidden, what is imagined."""

    caption: str
    """The caption that chooses the patches."""

    panels: tuple[tuple[str, str], ...]
    """Title and data URI, in the order of the method."""

    words: tuple[tuple[str, str], ...] = ()
    """The caption's words, and the image with the patches that match each, as data URIs."""


@final
@dataclass(frozen=True, slots=True)
class HeldPicture:
    """An image in memory, as the model sees it."""

    picture: Picture

    def __call__(self, smallest_side: int | None = None, /) -> Image.Image:
        """Return the image; it has the one size that it has."""
        del smallest_side
        return Image.fromarray(self.picture)


def _has_caption(sample: ImageTextSample) -> bool:
    return bool(sample.captions)


def gallery(
    predictor: Predictor, source: SampleSource, most: int, *, is_shown: Callable[[ImageTextSample], bool] = _has_caption
) -> tuple[list[ImageTextSample], list[SkippedSample]]:
    """Return up to ``most`` samples with captions, evenly spread over a source, and those that cannot be read.

    ``is_shown`` says which samples are worth it instead of those with captions.

    Their images are in memory as the model sees them: examples use each several times, large files are read once.
    """
    samples = [sample for index in _spread(len(source), most) if is_shown(sample := source[index])]
    with image_threads() as pool:
        held = list(pool.map(lambda sample: _hold(predictor, sample), samples))
    return (
        [sample for sample in held if isinstance(sample, ImageTextSample)],
        [sample for sample in held if isinstance(sample, SkippedSample)],
    )


def _hold(predictor: Predictor, sample: ImageTextSample) -> ImageTextSample | SkippedSample:
    try:
        return replace(sample, open_image=HeldPicture(picture_of(predictor, sample)))
    except UnusableSampleError as error:
        return named(error, sample)


def retrieval_examples(
    predictor: Predictor, samples: Sequence[ImageTextSample], num_examples: int, *, num_hits: int = 5
) -> list[RetrievalExample]:
    """Let the first captions of some samples, evenly spread, search among all images."""
    image_embeds = predictor.embed_images(samples)
    chosen = _spread(len(samples), num_examples)
    text_embeds = predictor.embed_texts([samples[i].captions[0] for i in chosen])
    examples = []
    for i, similarities in zip(chosen, text_embeds @ image_embeds.T, strict=True):
        order = similarities.argsort(descending=True, stable=True).tolist()
        hits = tuple(
            Hit(
                picture=data_uri(picture_of(predictor, samples[j]), side=128),
                is_right=j == i,
                similarity=float(similarities[j]),
            )
            for j in order[:num_hits]
        )
        rank = order.index(i) + 1
        examples.append(RetrievalExample(caption=samples[i].captions[0], rank=rank, num_images=len(samples), hits=hits))
    return examples


def caption_examples(
    predictor: Predictor, samples: Sequence[ImageTextSample], num_examples: int, check: CaptionCheck | None
) -> list[CaptionExample]:
    """Caption some samples, evenly spread; ``check`` says which captions are true where that is known."""
    chosen = _spread(len(samples), num_examples)
    generated = predictor.caption([samples[i] for i in chosen])
    return [
        CaptionExample(
            picture=data_uri(picture_of(predictor, samples[i])),
            generated=caption,
            references=samples[i].captions,
            is_true=None if check is None else check(i, caption),
        )
        for i, caption in zip(chosen, generated, strict=True)
    ]


def mask_examples(predictor: Predictor, samples: Sequence[ImageTextSample], num_examples: int) -> list[MaskExample]:
    """Explain some samples, evenly spread, with their first captions."""
    return [_mask_example(predictor, samples[i]) for i in _spread(len(samples), num_examples)]


def _mask_example(predictor: Predictor, sample: ImageTextSample) -> MaskExample:
    explained = predictor.explain(sample, sample.captions[0])
    original = explained.original
    panels: list[tuple[str, Picture]] = [
        ("image", original),
        ("match with the caption", score_overlay(original, explained.patch_scores)),
    ]
    if predictor.model.text_decoder is not None:
        panels.append(("seen by the captioner", without_patches(original, explained.is_hidden_from_captioner)))
    if explained.reconstruction is not None:
        panels.append(("masked", without_patches(original, explained.is_masked)))
        panels.append(("reconstructed", explained.reconstruction.reconstructed))
    return MaskExample(
        caption=explained.caption,
        panels=tuple((title, data_uri(picture)) for title, picture in panels),
        words=tuple(_word_pictures(explained)),
    )


def _word_pictures(explained: Explanation) -> list[tuple[str, str]]:
    maps = explained.relevance.reshape(len(explained.words), *explained.patch_scores.shape)
    return [
        (word, data_uri(score_overlay(explained.original, scores), side=_WORD_PIXELS))
        for word, scores in zip(explained.words, maps, strict=True)
    ]


def picture_of(predictor: Predictor, sample: ImageTextSample) -> Picture:
    """Return the sample's image as the model sees it."""
    transforms = predictor.config.transforms
    opened = open_image(sample, smallest_inference_side(predictor.image_size))
    image = inference_image(opened, predictor.image_size, transforms)
    return to_pictures(image[None], transforms)[0]


def _spread(num_samples: int, num_examples: int) -> list[int]:
    """Return indices evenly spread over the samples: no example is picked for its looks."""
    places = np.linspace(0, num_samples - 1, min(num_examples, num_samples))
    return [round(float(place)) for place in places]
