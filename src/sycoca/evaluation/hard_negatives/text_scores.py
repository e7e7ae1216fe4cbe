"""Scores of texts for images, by the contrastive towers and by the captioner, with the image and without it."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from PIL import Image
from rich.console import Console
from torch import Tensor

from sycoca.data.benchmarks.records import NamedImage
from sycoca.facts.metric_suffixes import BLANK_IMAGE, LIKELIHOOD, LIKELIHOOD_GAIN
from sycoca.inference.predictor import Predictor
from sycoca.progress_bar import tracked

TextScores = Mapping[str, Sequence[Float[Tensor, " texts"]]]
"""By suffix of the scorer the scores of each image's own texts."""


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
    found = _similarities(predictor, named, candidates, batch_size, console)
    if predictor.model.text_decoder is not None:
        found |= _likelihoods(predictor, named, candidates, batch_size, console)
    return {
        scorer: [
            torch.tensor([by_image[image.name][text] for text in own]) for image, own in zip(images, texts, strict=True)
        ]
        for scorer, by_image in found.items()
    }


Found = dict[str, dict[str, dict[str, float]]]
"""By suffix of the scorer, name of the image and text the score."""


def _similarities(
    predictor: Predictor,
    images: Mapping[str, NamedImage],
    candidates: Mapping[str, Sequence[str]],
    batch_size: int,
    console: Console | None,
) -> Found:
    texts = list(dict.fromkeys(text for own in candidates.values() for text in own))
    text_embeds = dict(zip(texts, predictor.embed_texts(texts), strict=True))
    blank = predictor.embed_images([_blank_image(predictor)])[0]
    by_image: dict[str, dict[str, float]] = {}
    for names in _batches(list(images), batch_size, "embedding images", console):
        embeds = predictor.embed_images([images[name].open_image for name in names], batch_size=batch_size)
        for name, embed in zip(names, embeds, strict=True):
            by_image[name] = {text: float(embed @ text_embeds[text]) for text in candidates[name]}
    without = {text: float(blank @ text_embeds[text]) for text in texts}
    return {"": by_image, BLANK_IMAGE: dict.fromkeys(images, without)}


def _likelihoods(
    predictor: Predictor,
    images: Mapping[str, NamedImage],
    candidates: Mapping[str, Sequence[str]],
    batch_size: int,
    console: Console | None,
) -> Found:
    texts = list(dict.fromkeys(text for own in candidates.values() for text in own))
    (blank,) = predictor.candidate_log_likelihoods([_blank_image(predictor)], [texts], batch_size=batch_size)
    without = dict(zip(texts, blank.tolist(), strict=True))
    by_image: dict[str, dict[str, float]] = {}
    for names in _batches(list(images), batch_size, "likelihoods of captions", console):
        own = [candidates[name] for name in names]
        opened = [images[name].open_image for name in names]
        scores = predictor.candidate_log_likelihoods(opened, own, batch_size=batch_size)
        for name, captions, values in zip(names, own, scores, strict=True):
            by_image[name] = dict(zip(captions, values.tolist(), strict=True))
    gains = {name: {text: value - without[text] for text, value in own.items()} for name, own in by_image.items()}
    return {
        LIKELIHOOD: by_image,
        f"{LIKELIHOOD}{BLANK_IMAGE}": dict.fromkeys(images, without),
        LIKELIHOOD_GAIN: gains,
    }


def _batches(names: list[str], batch_size: int, description: str, console: Console | None) -> Iterator[list[str]]:
    starts = range(0, len(names), batch_size)
    for start in tracked(starts, len(names), description, console=console, step=batch_size):
        yield names[start : start + batch_size]


def _blank_image(predictor: Predictor) -> Image.Image:
    """Return an image of the mean color, whose normalized pixels are 0."""
    red, green, blue = (round(255 * mean) for mean in predictor.config.transforms.mean)
    return Image.new("RGB", (predictor.image_size, predictor.image_size), (red, green, blue))
