"""Examples for a report: what a model finds, says, looks at and imagines on held-out samples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sycoca.data.samples import ImageTextSample
from sycoca.inference.predictor import Predictor
from sycoca.preprocess.image_transforms import inference_image, to_pictures
from sycoca.reports.pictures import Picture, data_uri, score_overlay, without_patches

CaptionCheck = Callable[[int, str], bool]
"""Says whether a caption is true of sample number i."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrievalExample:
    """A caption and the images that the model finds for it."""

    caption: str
    """The query."""

    rank: int
    """Place of the right image among all, from 1."""

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
class MaskExample:
    """An image and a caption: how they match, what is hidden, what is imagined."""

    caption: str
    """The caption that chooses the patches."""

    panels: tuple[tuple[str, str], ...]
    """Title and data URI, in the order of the method."""


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
                picture=data_uri(_picture(predictor, samples[j]), side=128),
                is_right=j == i,
                similarity=float(similarities[j]),
            )
            for j in order[:num_hits]
        )
        examples.append(RetrievalExample(caption=samples[i].captions[0], rank=order.index(i) + 1, hits=hits))
    return examples


def caption_examples(
    predictor: Predictor, samples: Sequence[ImageTextSample], num_examples: int, check: CaptionCheck | None
) -> list[CaptionExample]:
    """Caption some samples, evenly spread; ``check`` says which captions are true where that is known."""
    chosen = _spread(len(samples), num_examples)
    generated = predictor.caption([samples[i] for i in chosen])
    return [
        CaptionExample(
            picture=data_uri(_picture(predictor, samples[i])),
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
    return MaskExample(caption=explained.caption, panels=tuple((title, data_uri(picture)) for title, picture in panels))


def _picture(predictor: Predictor, sample: ImageTextSample) -> Picture:
    """Return the sample's image as the model sees it."""
    transforms = predictor.config.transforms
    image = inference_image(sample.open_image(), predictor.image_size, transforms)
    return to_pictures(image[None], transforms)[0]


def _spread(num_samples: int, num_examples: int) -> list[int]:
    """Return indices evenly spread over the samples: no example is picked for its looks."""
    places = np.linspace(0, num_samples - 1, min(num_examples, num_samples))
    return [round(float(place)) for place in places]
