"""Scores of texts for images, by the contrastive towers and by the captioner, with the image and without it."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from PIL import Image
from rich.console import Console
from torch import Tensor

from sycoca.data.benchmarks.records import NamedImage
from sycoca.facts.metric_suffixes import BLANK_IMAGE, LIKELIHOOD, LIKELIHOOD_GAIN
from sycoca.inference.inputs import ImageInput
from sycoca.inference.predictor import Predictor
from sycoca.progress_bar import tracked

TextScores = Mapping[str, Sequence[Float[Tensor, " texts"]]]
"""By suffix of the scorer the scores of each image's own texts."""

ByImage = dict[str, dict[str, float]]
"""By name of the image and text the score."""

Scorer = Callable[[Sequence[ImageInput], Sequence[Sequence[str]]], Sequence[Sequence[float]]]
"""Returns for a batch of images the scores of each image's own texts."""


def text_scores(
    predictor: Predictor,
    images: Sequence[NamedImage],
    texts: Sequence[Sequence[str]],
    *,
    batch_size: int,
    console: Console | None,
) -> TextScores:
    """Return the scores of each image's texts; images of one name go through the encoder once.

    "": cosine. LIKELIHOOD: log-likelihood per token by the captioner, natural logarithm; absent without one. With
    BLANK_IMAGE behind: the same for an image of the mean color, in which nothing is to be seen, so that what a model
    prefers there it prefers as a language model. LIKELIHOOD_GAIN: likelihood minus that with the blank image, the
    pointwise mutual information per token (Lin et al., ICML 2024, arXiv 2306.01879, section 4 with alpha 1).
    """
    of_image: dict[str, list[str]] = {}
    for image, own in zip(images, texts, strict=True):
        of_image.setdefault(image.name, []).extend(own)
    named = {image.name: image for image in images}
    candidates = {name: list(dict.fromkeys(own)) for name, own in of_image.items()}
    all_texts = list(dict.fromkeys(text for own in candidates.values() for text in own))

    def scored(score: Scorer, description: str) -> tuple[ByImage, ByImage]:
        """Return the scores with each image, and with the blank one."""
        by_image: ByImage = {}
        for names in _batches(list(named), batch_size, description, console):
            own = [candidates[name] for name in names]
            values = score([named[name].open_image for name in names], own)
            by_image |= {
                name: dict(zip(*scores, strict=True)) for name, *scores in zip(names, own, values, strict=True)
            }
        (blank,) = score([_blank_image(predictor)], [all_texts])
        without = dict(zip(all_texts, blank, strict=True))
        return by_image, dict.fromkeys(named, without)

    found: dict[str, ByImage] = {}
    found[""], found[BLANK_IMAGE] = scored(_similarities(predictor, all_texts), "embedding images")
    if predictor.model.text_decoder is not None:
        likelihoods, without = scored(_likelihoods(predictor, batch_size), "likelihoods of captions")
        found[LIKELIHOOD], found[f"{LIKELIHOOD}{BLANK_IMAGE}"] = likelihoods, without
        found[LIKELIHOOD_GAIN] = {
            name: {text: value - without[name][text] for text, value in own.items()}
            for name, own in likelihoods.items()
        }
    return {
        scorer: [
            torch.tensor([by_image[image.name][text] for text in own]) for image, own in zip(images, texts, strict=True)
        ]
        for scorer, by_image in found.items()
    }


def _similarities(predictor: Predictor, texts: Sequence[str]) -> Scorer:
    embed_of = dict(zip(texts, predictor.embed_texts(texts), strict=True))

    def scores(images: Sequence[ImageInput], candidates: Sequence[Sequence[str]]) -> list[list[float]]:
        embeds = predictor.embed_images(images, batch_size=len(images))
        return [[float(embed @ embed_of[text]) for text in own] for embed, own in zip(embeds, candidates, strict=True)]

    return scores


def _likelihoods(predictor: Predictor, batch_size: int) -> Scorer:
    def scores(images: Sequence[ImageInput], candidates: Sequence[Sequence[str]]) -> list[list[float]]:
        found = predictor.candidate_log_likelihoods(images, candidates, batch_size=batch_size)
        return [values.tolist() for values in found]

    return scores


def _batches(names: list[str], batch_size: int, description: str, console: Console | None) -> Iterator[list[str]]:
    starts = range(0, len(names), batch_size)
    for start in tracked(starts, len(names), description, console=console, step=batch_size):
        yield names[start : start + batch_size]


def _blank_image(predictor: Predictor) -> Image.Image:
    """Return an image of the mean color, whose normalized pixels are 0."""
    red, green, blue = (round(255 * mean) for mean in predictor.config.transforms.mean)
    return Image.new("RGB", (predictor.image_size, predictor.image_size), (red, green, blue))
