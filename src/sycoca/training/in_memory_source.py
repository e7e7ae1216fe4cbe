"""A source of image-caption pairs from memory."""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import final

from PIL import Image

from sycoca.data.formats.row_checks import RowValidator
from sycoca.data.formats.rows import Columns, Row
from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.inference.inputs import open_image
from sycoca.unusable import SkippedSample

Pair = tuple[Image.Image | Path | str, str | Sequence[str]]
"""An image, or its path, and its caption or captions."""


@final
class PairsSource:
    """A source of pairs from memory; images given as paths are opened when they are needed.

    Captions pass the same checks as those of files, and pairs with the same path become one sample.
    """

    def __init__(self, pairs: Iterable[Pair], name: str = "pairs") -> None:
        """Check the pairs. Raises ValueError for an image that is no PIL image or path, and where no pair is usable."""
        self.name = name
        self.skipped: Sequence[SkippedSample]
        images: dict[str, Image.Image | Path | str] = {}
        validator = RowValidator(name, Columns())
        for number, (image, captions) in enumerate(pairs):
            if not isinstance(image, Image.Image | Path | str):
                raise ValueError(
                    f"pair {number}: expected a PIL image or a path, got {type(image).__name__};"
                    " Image.fromarray makes an image of an array"
                )
            key = f"image {number}" if isinstance(image, Image.Image) else str(image)
            images[key] = image
            texts = [captions] if isinstance(captions, str) else list(captions)
            validator.add(Row(place=f"pair {number}", image=key, captions=texts))
        described, self.skipped = validator.result()
        if not images:
            raise ValueError(f"{name} has no samples")
        if not described:
            raise ValueError(f"{name}: no pair is usable: {self.skipped[0].detail}")
        self._samples = [
            ImageTextSample(key=key, captions=tuple(known.captions), open_image=partial(open_image, images[key]))
            for key, known in described.items()
        ]

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> ImageTextSample:
        return self._samples[index]


def as_source(pairs: SampleSource | Iterable[Pair]) -> SampleSource:
    """Return a source unchanged, and pairs as a source."""
    return pairs if isinstance(pairs, SampleSource) else PairsSource(pairs)
