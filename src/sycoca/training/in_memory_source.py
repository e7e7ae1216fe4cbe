"""A source of image-caption pairs from memory."""

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import final

from PIL import Image

from sycoca.data.formats.row_checks import RowValidator
from sycoca.data.formats.rows import Columns, Row
from sycoca.data.samples import ImageTextSample, SampleSource, source_repr
from sycoca.inference.inputs import ImageInput, held_image, open_image
from sycoca.unusable import SkippedSample

Pair = tuple[ImageInput, str | Sequence[str]]
"""An image in any form, and its caption or captions."""


@final
class PairsSource:
    """A source of pairs from memory; images given as paths or functions are opened when they are needed.

    Captions pass the same checks as those of files, and pairs with the same path become one sample.
    """

    def __init__(self, pairs: Iterable[Pair], name: str = "pairs") -> None:
        """Check the pairs. Raises ValueError for what is no image, and where no pair is usable."""
        self.name = name
        self.skipped: Sequence[SkippedSample]
        images: dict[str, object] = {}
        validator = RowValidator(name, Columns())
        for number, (image, captions) in enumerate(_unpacked(pairs)):
            key = os.fspath(image) if isinstance(image, str | os.PathLike) else f"image {number}"
            images[key] = held_image(image, f"pair {number}")
            texts = [captions] if isinstance(captions, str) else list(captions)
            validator.add(Row(place=f"pair {number}", image=key, captions=texts))
        described, self.skipped = validator.result()
        if not images:
            raise ValueError(f"{name} has no samples")
        if not described:
            raise ValueError(f"{name}: no pair is usable: {self.skipped[0].detail}")
        self._samples = [
            ImageTextSample(key=key, captions=tuple(known.captions), open_image=partial(_open, images[key], key))
            for key, known in described.items()
        ]

    def __repr__(self) -> str:
        return source_repr(self)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> ImageTextSample:
        return self._samples[index]


def _unpacked(pairs: Iterable[object]) -> Iterator[tuple[object, str | Sequence[str]]]:
    """Yield the pairs. Raises ValueError for what is no pair, such as the two members of a single one."""
    for number, pair in enumerate(pairs):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            got = f"{len(pair)} values" if isinstance(pair, tuple | list) else type(pair).__name__
            raise ValueError(f"pair {number}: expected (image, caption), got {got}; pairs are a list of such tuples")
        yield pair[0], pair[1]


def _open(image: object, key: str, smallest_side: int | None = None, /) -> Image.Image:
    return open_image(image, smallest_side, key)


def as_source(pairs: SampleSource | Iterable[Pair]) -> SampleSource:
    """Return a source unchanged, and pairs as a source. Raises ValueError for a path or a SPEC."""
    if isinstance(pairs, str | os.PathLike):
        raise ValueError(f"expected (image, caption) pairs or a source, got {pairs!r}; a SPEC goes into config.data")
    return pairs if isinstance(pairs, SampleSource) else PairsSource(pairs)
