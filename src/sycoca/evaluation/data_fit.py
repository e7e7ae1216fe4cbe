"""What a model says about data sets: how captions fit their images, and a map, from one pass over the images."""

import base64
import io
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import final

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from sycoca.data.formats.named_images import shown_name
from sycoca.data.inspection.check import part_name
from sycoca.data.inspection.finding_cache import Finding
from sycoca.data.inspection.image_facts import ImageFacts
from sycoca.data.samples import SampleSource
from sycoca.data.selection import evenly_spread
from sycoca.evaluation.data_map import MAP_IMAGES, map_layout
from sycoca.evaluation.fit_records import DataFit, DataMap, MapPoint, SetFit
from sycoca.evaluation.pair_fit import EmbeddedSet, pair_fit
from sycoca.inference.predictor import Predictor
from sycoca.preprocess.image_transforms import inference_picture
from sycoca.unusable import UnusableSampleError

MAP_THUMBNAIL_PIXELS = 96
"""Longer side of a thumbnail of a map."""


@final
class ImageViews:
    """Embeds images of a set while they are inspected, so that each is decoded once.

    Called by the threads that decode; `embedded` embeds what they have left.
    """

    def __init__(self, predictor: Predictor, places: Sequence[int], num_thumbnails: int, batch_size: int) -> None:
        """Expect the images of a source with the indices ``places``, some of which get thumbnails."""
        self._predictor = predictor
        self._batch_size = batch_size
        self._places = places
        self._with_thumbnail = set(evenly_spread(len(places), num_thumbnails))
        self._waiting: dict[int, Image.Image] = {}
        self._embeds: dict[int, Float[Tensor, " embed"]] = {}
        self.thumbnails: dict[int, str] = {}
        """Data URIs by position among the inspected images."""

    def __call__(self, position: int, image: Image.Image) -> None:
        """Keep an image as small as the model takes it."""
        self._waiting[position] = inference_picture(
            image, self._predictor.image_size, self._predictor.config.transforms
        )
        if position in self._with_thumbnail:
            self.thumbnails[position] = _thumbnail(image)

    def embedded(self, findings: Iterator[Finding]) -> Iterator[Finding]:
        """Yield the findings, and embed the images whose findings came."""
        done: list[int] = []
        for position, finding in enumerate(findings):
            if position in self._waiting:
                done.append(position)
            if len(done) == self._batch_size:
                self._embed(done)
                done = []
            yield finding
        self._embed(done)

    def fit_input(self, source: SampleSource, findings: Sequence[Finding]) -> EmbeddedSet:
        """Return the embedded images with their captions."""
        positions = sorted(self._embeds)
        captions = tuple(source[self._places[position]].captions for position in positions)
        facts = [findings[position] for position in positions]
        flat = [caption for own in captions for caption in own]
        return EmbeddedSet(
            indices=tuple(self._places[position] for position in positions),
            captions=captions,
            pixel_hashes=tuple(fact.pixel_hash for fact in facts if isinstance(fact, ImageFacts)),
            image_embeds=self._rows(positions),
            text_embeds=self._predictor.embed_texts(flat, warns=False),
        )

    def on_map(
        self, source: SampleSource, also: Collection[int]
    ) -> tuple[list[int], list[str], Float[Tensor, "images embed"]]:
        """Return indices in the source, thumbnails and embeddings of the images on a map, those of ``also`` among them.

        These get their thumbnails now, so they are opened again.
        """
        for position in [position for position in self._embeds if self._places[position] in also]:
            if position not in self.thumbnails:
                # A file that is gone by now is not on the map, and on the page it "cannot be read".
                with suppress(UnusableSampleError):
                    self.thumbnails[position] = _thumbnail(source[self._places[position]].open_image())
        positions = sorted(self.thumbnails)
        return (
            [self._places[position] for position in positions],
            [self.thumbnails[position] for position in positions],
            self._rows(positions),
        )

    def _embed(self, positions: Sequence[int]) -> None:
        pictures = [self._waiting.pop(position) for position in positions]
        rows = self._predictor.embed_images(pictures, batch_size=self._batch_size)
        self._embeds.update(zip(positions, rows, strict=True))

    def _rows(self, positions: Sequence[int]) -> Float[Tensor, "images embed"]:
        rows = [self._embeds[position] for position in positions]
        return torch.stack(rows) if rows else torch.zeros(0, self._predictor.model.config.embed_dim)


def views_of(
    predictor: Predictor, places: Sequence[Sequence[int]], *, with_map: bool, batch_size: int
) -> list[ImageViews]:
    """Return the views of each set; thumbnails of a map are spread evenly over all sets."""
    total = max(1, sum(map(len, places)))
    most = min(MAP_IMAGES, total) if with_map else 0
    return [ImageViews(predictor, own, most * len(own) // total, batch_size) for own in places]


def data_fit(
    weights: str,
    sources: Sequence[SampleSource],
    findings: Sequence[Sequence[Finding]],
    views: Sequence[ImageViews],
    *,
    with_map: bool,
) -> DataFit:
    """Return what a model says about sets whose images its views have seen."""
    fits = [pair_fit(view.fit_input(source, own)) for source, own, view in zip(sources, findings, views, strict=True)]
    return DataFit(weights=weights, sets=tuple(fits), map=_map(sources, views, fits) if with_map else None)


def _map(sources: Sequence[SampleSource], views: Sequence[ImageViews], fits: Sequence[SetFit | None]) -> DataMap | None:
    """Return a map of evenly spread images, and of all that the pairs on the page are about."""
    on_map = [
        view.on_map(source, () if fit is None else fit.shown_images)
        for source, view, fit in zip(sources, views, fits, strict=True)
    ]
    layout = map_layout(torch.cat([rows for *_, rows in on_map]))
    if layout is None:
        return None
    at = iter(layout.points.tolist())
    points = [
        point
        for number, (source, (indices, pictures, _)) in enumerate(zip(sources, on_map, strict=True))
        for point in _points(number, source, indices, pictures, at)
    ]
    return DataMap(points=tuple(points), quality=layout.quality, num_images=sum(len(source) for source in sources))


def _points(
    set_number: int, source: SampleSource, indices: Sequence[int], pictures: Sequence[str], at: Iterator[list[float]]
) -> Iterator[MapPoint]:
    """Yield the points of a set, each at the next place of the map."""
    samples = [source[index] for index in indices]
    has_splits = len({sample.split for sample in samples}) > 1
    for index, sample, picture in zip(indices, samples, pictures, strict=True):
        x, y = next(at)
        yield MapPoint(
            x=x,
            y=y,
            set_number=set_number,
            index=index,
            name=shown_name(sample),
            part=part_name(source.name, sample.split) if has_splits else source.name,
            caption=sample.captions[0] if sample.captions else (sample.label or ""),
            picture=picture,
        )


def _thumbnail(image: Image.Image) -> str:
    small = image.copy()
    small.thumbnail((MAP_THUMBNAIL_PIXELS, MAP_THUMBNAIL_PIXELS))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=70)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
