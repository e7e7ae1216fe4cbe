"""Examples for a report: retrieval, captions, attentive masks and reconstructions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from PIL import Image

from sycoca.data.loading.skipping import named
from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.inference.explaining.explanation import Explanation
from sycoca.inference.inputs import open_image
from sycoca.inference.predictor import Predictor
from sycoca.preprocess.image_transforms import image_threads, inference_image, smallest_inference_side, to_pictures
from sycoca.reports.pictures import Picture, data_uri, score_overlay, without_patches
from sycoca.unusable import SkippedSample, UnusableSampleError

_WORD_PIXELS = 84

CaptionCheck = Callable[[int, str], bool]
"""Returns whether a caption is true of sample number i."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrievalExample:
    """A caption and the top images that the model retrieves for it."""

    caption: str
    """The query."""

    rank: int
    """Rank of the correct image, from 1."""

    num_images: int
    """Number of candidate images."""

    hits: tuple["Hit", ...]
    """The top images, best first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """A retrieved image."""

    picture: str
    """The image as a data URI."""

    is_right: bool
    """Whether it is the query's image."""

    similarity: float
    """Cosine similarity to the query."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionExample:
    """An image with a generated caption and reference captions."""

    picture: str
    """As a data URI."""

    generated: str
    """The model's caption."""

    references: tuple[str, ...]
    """The sample's own captions."""

    is_true: bool | None
    """Whether the generated caption is true; None where that is unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerExample:
    """An image with a predicted answer or class, and the correct one."""

    picture: str
    """As a data URI."""

    question: str | None
    """The question; None for classification."""

    answer: str
    """The most probable answer or class."""

    probability: float
    """Its probability, 0 to 1."""

    references: tuple[str, ...]
    """The annotators' answers, or the true class."""

    is_right: bool
    """Whether the answer counts as correct."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskExample:
    """An image and a caption: patch scores, attentive masks and reconstruction."""

    caption: str
    """The caption that the patches are scored by."""

    panels: tuple[tuple[str, str], ...]
    """Titles and data URIs, in the order of the method."""

    note: str = ""
    """What the colors of the maps stand for, and the error of the reconstruction beside its baseline."""

    words: tuple[tuple[str, str], ...] = ()
    """The caption's words, each with a heat map of its patch scores as a data URI."""


@final
@dataclass(frozen=True, slots=True)
class HeldPicture:
    """A decoded image in memory, at the model's input size."""

    picture: Picture

    def __call__(self, smallest_side: int | None = None, /) -> Image.Image:
        """Return the image; ``smallest_side`` has no effect."""
        del smallest_side
        return Image.fromarray(self.picture)


def _has_caption(sample: ImageTextSample) -> bool:
    return bool(sample.captions)


def gallery(
    predictor: Predictor, source: SampleSource, most: int, *, is_shown: Callable[[ImageTextSample], bool] = _has_caption
) -> tuple[list[ImageTextSample], list[SkippedSample]]:
    """Return up to ``most`` samples, evenly spread over a source, and those that cannot be read.

    ``is_shown`` selects samples; by default those with captions. Images are kept in memory at the model's input size,
    since examples use each several times.
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
    """Return retrieval examples: the first captions of some evenly spread samples as queries over all images."""
    image_embeds = predictor.embed_images(samples)
    chosen = _spread(len(samples), num_examples)
    text_embeds = predictor.embed_texts([samples[i].captions[0] for i in chosen], warns=False)
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
    """Return generated captions of some evenly spread samples; ``check`` returns whether a caption is true."""
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
    """Return explanations of some evenly spread samples with their first captions."""
    return [_mask_example(predictor, samples[i]) for i in _spread(len(samples), num_examples)]


def _mask_example(predictor: Predictor, sample: ImageTextSample) -> MaskExample:
    # Training has counted truncated captions; the model's own captions have a section of their own.
    explained = predictor.explain(sample, sample.captions[0], warns=False, generates=False)
    original = explained.original
    panels: list[tuple[str, Picture]] = [
        ("image", original),
        ("match with the caption", score_overlay(original, explained.patch_scores, explained.scale)),
        ("no caption", score_overlay(original, explained.image_scores, explained.scale)),
    ]
    if predictor.model.text_decoder is not None:
        panels.append(("seen by captioning in training", without_patches(original, explained.is_hidden_from_captioner)))
    if explained.reconstruction is not None:
        panels.append(("masked", without_patches(original, explained.is_masked)))
        panels.append(("reconstructed", explained.reconstruction.reconstructed))
    return MaskExample(
        caption=explained.caption,
        panels=tuple((title, data_uri(picture)) for title, picture in panels),
        note=_note_of(explained),
        words=tuple(_word_pictures(explained)),
    )


def _note_of(explained: Explanation) -> str:
    low, high = explained.scale
    notes = [f"cosines of patches: dark {low:.2f} to bright {high:.2f}"]
    own = explained.reconstruction
    if own is not None:
        notes.append(f"mean squared error of masked patches {own.error:.4f}, in one color each {own.flat_error:.4f}")
    return "; ".join(notes)


def _word_pictures(explained: Explanation) -> list[tuple[str, str]]:
    maps = explained.relevance.reshape(len(explained.words), *explained.patch_scores.shape)
    return [
        (word, data_uri(score_overlay(explained.original, scores, explained.scale), side=_WORD_PIXELS))
        for word, scores in zip(explained.words, maps, strict=True)
    ]


def picture_of(predictor: Predictor, sample: ImageTextSample) -> Picture:
    """Return the sample's image at the model's input size, as 8-bit RGB."""
    transforms = predictor.config.transforms
    opened = open_image(sample, smallest_inference_side(predictor.image_size))
    image = inference_image(opened, predictor.image_size, transforms)
    return to_pictures(image[None], transforms)[0]


def _spread(num_samples: int, num_examples: int) -> list[int]:
    """Return indices evenly spread over the samples, so that examples are not cherry-picked."""
    positions = np.linspace(0, num_samples - 1, min(num_examples, num_samples))
    return [round(float(position)) for position in positions]
