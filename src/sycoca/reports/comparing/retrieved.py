"""Captions on which models retrieve different images, or all the wrong ones, with maps of where they look."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sycoca.data.samples import ImageTextSample
from sycoca.inference.predictor import Predictor
from sycoca.reports.pictures import data_uri, score_overlay
from sycoca.reports.sample_gallery import picture_of

_NUM_QUERIES = 3
"""Captions of each sort: gains, losses, worst, best."""

_SIDE = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class Retrieved:
    """What one model retrieves for a caption."""

    row: str
    """The model's row."""

    rank: int
    """Rank of the caption's own image, from 1."""

    own: str
    """The caption's own image under its patch scores, as a data URI."""

    own_cosine: float
    """Cosine of the caption and its own image."""

    first: str | None
    """The image at rank 1, as a data URI; None where it is the caption's own."""

    first_map: str | None
    """The same under its patch scores."""

    first_cosine: float
    """Cosine of the caption and the image at rank 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """A caption with what every model retrieves for it."""

    caption: str
    """The caption."""

    picture: str
    """Its own image, as a data URI."""

    answers: tuple[Retrieved, ...]
    """One per row."""


def compared_queries(
    models: Mapping[str, Predictor], samples: Sequence[ImageTextSample]
) -> Iterator[tuple[str, tuple[Query, ...]]]:
    """Yield by title the first captions on which models differ from the first one, and on which all are worst and best.

    Every caption is searched for among the images of the samples.
    """
    captions = [sample.captions[0] for sample in samples]
    similarities = {name: _similarities(model, samples, captions) for name, model in models.items()}
    ranks = {name: _ranks(own) for name, own in similarities.items()}

    def queries(chosen: Sequence[int]) -> tuple[Query, ...]:
        return tuple(_query(models, samples, number, similarities, ranks) for number in chosen)

    base, *others = models
    for other in others:
        gained = ranks[base] - ranks[other]
        better, worse = _first(-gained, gained > 0), _first(gained, gained < 0)
        # Queries that differ most say nothing without how many differ in either direction.
        higher, lower = (f"on {int(differ.sum()):,} of {len(captions):,}" for differ in (gained > 0, gained < 0))
        yield f"{other} ranks the image higher than {base}, {higher}; most on these", queries(better)
        yield f"{other} ranks the image lower than {base}, {lower}; most on these", queries(worse)
    best = torch.stack(list(ranks.values())).amin(dim=0)
    yield "worst for all" if others else "worst", queries(_first(-best, best > 1))
    yield "best for all" if others else "best", queries(_first(best, best == 1))


def _first(order: Int[Tensor, " queries"], is_meant: Tensor) -> list[int]:
    """Return the queries that are meant, smallest first, a few of them."""
    return [int(i) for i in order.argsort(stable=True) if is_meant[i]][:_NUM_QUERIES]


def _similarities(
    model: Predictor, samples: Sequence[ImageTextSample], captions: Sequence[str]
) -> Float[Tensor, "captions images"]:
    return (model.embed_texts(captions, warns=False) @ model.embed_images(samples).T).cpu()


def _ranks(similarities: Float[Tensor, "captions images"]) -> Int[Tensor, " captions"]:
    """Return the rank of each caption's own image, from 1; a tie counts against the model."""
    own = similarities.diagonal()[:, None]
    return (similarities >= own).sum(dim=1)


def _query(
    models: Mapping[str, Predictor],
    samples: Sequence[ImageTextSample],
    number: int,
    similarities: Mapping[str, Tensor],
    ranks: Mapping[str, Tensor],
) -> Query:
    sample = samples[number]
    return Query(
        caption=sample.captions[0],
        picture=data_uri(picture_of(next(iter(models.values())), sample), side=_SIDE),
        answers=tuple(
            _retrieved(name, model, samples, number, similarities[name][number], int(ranks[name][number]))
            for name, model in models.items()
        ),
    )


def _retrieved(
    row: str,
    model: Predictor,
    samples: Sequence[ImageTextSample],
    number: int,
    similarities: Float[Tensor, " images"],
    rank: int,
) -> Retrieved:
    others = similarities.clone()
    others[number] = -torch.inf
    first = int(others.argmax()) if rank > 1 else number
    shown = [samples[number]] if first == number else [samples[number], samples[first]]
    scores = model.patch_scores(shown, [samples[number].captions[0]] * len(shown)).cpu().numpy()
    # One scale for both images: only then bright means the same.
    scale = float(scores.min()), float(scores.max())
    maps = [_heat(model, sample, own, scale) for sample, own in zip(shown, scores, strict=True)]
    return Retrieved(
        row=row,
        rank=rank,
        own=maps[0],
        own_cosine=float(similarities[number]),
        first=None if first == number else data_uri(picture_of(model, samples[first]), side=_SIDE),
        first_map=None if first == number else maps[1],
        first_cosine=float(similarities[first]),
    )


def _heat(
    model: Predictor, sample: ImageTextSample, scores: Float[np.ndarray, " patches"], scale: tuple[float, float]
) -> str:
    picture = picture_of(model, sample)
    patch_size = model.model.config.image_encoder.patch_size
    grid = scores.reshape(picture.shape[0] // patch_size, picture.shape[1] // patch_size)
    return data_uri(score_overlay(picture, grid, scale), side=_SIDE)
