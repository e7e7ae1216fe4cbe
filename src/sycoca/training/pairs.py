"""Pairs of images and captions that a caller has at hand, as a source."""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import final

from PIL import Image

from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.inference.inputs import open_image

Pair = tuple[Image.Image | Path | str, str | Sequence[str]]
"""An image, or the path of one, and its caption or captions."""


@final
class PairsSource:
    """Pairs from memory. Images are kept as they are given, paths are opened when their image is needed."""

    def __init__(self, pairs: Iterable[Pair], name: str = "pairs") -> None:
        self.name = name
        self._samples = [_sample(number, *pair) for number, pair in enumerate(pairs)]

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> ImageTextSample:
        return self._samples[index]


def as_source(pairs: SampleSource | Iterable[Pair]) -> SampleSource:
    """Return a source as it is, and anything else as pairs. Raises ValueError for an image without caption."""
    return pairs if isinstance(pairs, SampleSource) else PairsSource(pairs)


def _sample(number: int, image: Image.Image | Path | str, captions: str | Sequence[str]) -> ImageTextSample:
    texts = (captions,) if isinstance(captions, str) else tuple(captions)
    if not texts:
        raise ValueError(f"pair {number} has no caption; every image needs one")
    return ImageTextSample(key=str(number), captions=texts, open_image=partial(open_image, image))
