"""The rows of a Hugging Face data set as samples, each built when it is asked for."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from jaxtyping import Int64
from PIL import Image

from sycoca.data.formats.hugging_face.rows import TextRows, chosen
from sycoca.data.formats.hugging_face.tables import open_table
from sycoca.data.formats.rows import Columns
from sycoca.data.formats.tables import check_header
from sycoca.data.samples import ImageTextSample, source_repr
from sycoca.data.selection import EVERYTHING, Selection
from sycoca.preprocess.decoding import check_size, open_rgb
from sycoca.texts import normal_names
from sycoca.unusable import unusable

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True, slots=True)
class HuggingFaceImage:
    """An image in a row, as an `ImageOpener`."""

    table: "Dataset"
    """The column of images alone, not decoded."""

    row: int
    """The row's number."""

    name: str
    """The sample's name, for errors."""

    def __call__(self, smallest_side: int | None = None, /) -> Image.Image:
        """Read the image as RGB; arguments and errors as in `ImageOpener`."""
        return open_rgb(io.BytesIO(self.content()), self.name, smallest_side)

    def content(self) -> bytes:
        """Return the image's bytes; raises UnusableSampleError where there are none, or too many."""
        (value,) = self.table[self.row].values()
        given: dict[str, Any] = {"bytes": value} if isinstance(value, bytes) else value or {}
        content, path = given.get("bytes"), given.get("path")
        try:
            content = Path(path).read_bytes() if content is None and path else content
        except OSError as error:
            detail = f"{self.name}: {path} cannot be read: {error.strerror}"
            raise unusable(self.name, "unreadable file", detail) from error
        if content is None:
            raise unusable(self.name, "missing image", f"{self.name} cannot be read as an image: the row has none")
        check_size(len(content), self.name)
        return content


@final
class HuggingFaceSource:
    """The usable rows of a table; samples and captions that are left out are in ``skipped``."""

    def __init__(self, name: str, rows: TextRows, numbers: Sequence[int] | Int64[np.ndarray, " samples"]) -> None:
        """Take the rows with these numbers."""
        self.name = name
        self.skipped = rows.skipped
        self._rows = rows
        self._numbers = numbers
        self._images = rows.images

    def __repr__(self) -> str:
        return source_repr(self)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> ImageTextSample:
        number = int(self._numbers[index])
        key = self._rows.key(number)
        known = self._rows.known(number)
        return ImageTextSample(
            key=key,
            captions=tuple(known.captions),
            generated_captions=tuple(known.generated_captions),
            open_image=HuggingFaceImage(self._images, number, key),
            label=known.label,
            split=known.split,
            questions=tuple(known.questions),
        )


def open_hugging_face(
    path: str, *, config: str | None = None, columns: Columns | None = None, wanted: Selection = EVERYTHING
) -> HuggingFaceSource:
    """Open a data set of the Hugging Face Hub (owner/name[@revision]), a folder of ``save_to_disk``, or Parquet files.

    A row is a sample, with the image in a column of images or bytes. ``config`` is the configuration of a data set at
    the Hub. Raises ValueError where the data set, its split or its columns are not there, or no row can be used.
    """
    columns = Columns() if columns is None else columns
    table, split = open_table(path, config=config, split=wanted.split)
    names = zip(table.column_names, normal_names(table.column_names), strict=True)
    if other := {stored: name for stored, name in names if stored != name}:
        table = table.rename_columns(other)
    check_header(f"hf:{path}", table.column_names, columns)
    rows = TextRows(path, table, columns, split)
    if len(rows.usable) == 0:
        first = f": {len(rows.skipped):,} left out; the first: {rows.skipped[0].detail}" if rows.skipped else ""
        raise ValueError(f"hf:{path}: no row can be used{first}")
    name = path if wanted.split is None else f"{path} ({wanted.split})"
    return HuggingFaceSource(name, rows, chosen(rows.usable, wanted))
