"""Samples from rows of any format: the same validation for all, and rows of one image are merged."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import final

from sycoca.data.choices import check_choice
from sycoca.data.formats.image_files import ImageFiles, StoredImage, is_same_image
from sycoca.data.formats.row_checks import RowValidator
from sycoca.data.formats.rows import Columns, Row
from sycoca.data.samples import ImageTextSample, source_repr
from sycoca.data.selection import EVERYTHING, Selection, select
from sycoca.file_names import own_name
from sycoca.texts import normal_form
from sycoca.unusable import SkippedSample


@final
class RowSource:
    """A source that was read from the rows of a file; unusable samples are in ``skipped``."""

    def __init__(
        self,
        name: str,
        samples: Sequence[ImageTextSample],
        skipped: Sequence[SkippedSample],
        remarks: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.skipped = skipped
        self.remarks = remarks
        self._samples = samples

    def __repr__(self) -> str:
        return source_repr(self)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> ImageTextSample:
        return self._samples[index]


def source_from_rows(
    path: Path,
    rows: Iterable[Row],
    images: ImageFiles,
    *,
    columns: Columns | None = None,
    wanted: Selection = EVERYTHING,
    what: str = "lines",
    can_name_columns: bool = True,
) -> RowSource:
    """Validate the rows of a file and merge those of one image.

    Rows of one image become one sample, captions and questions in the file's order. Bad rows, captions and questions
    are left out and named. Raises ValueError where nothing is left, saying why.
    """
    validator = RowValidator(
        str(path),
        Columns() if columns is None else columns,
        is_same_file=partial(is_same_image, images),
        can_name_columns=can_name_columns,
    )
    wanted_split = None if wanted.split is None else normal_form(wanted.split)
    splits = Counter[str | None]()
    for row in rows:
        split = validator.split_of(row)
        splits[split] += 1
        # A row that cannot be read could have been of any split.
        if wanted_split is None or split == wanted_split or row.problem is not None:
            validator.add(row)
    if not splits:
        raise ValueError(f"{path} has no {what}")
    if wanted_split is not None:
        _check_split(path, wanted_split, splits, validator.columns.split)
    described, skipped = validator.result()
    if not described:
        raise ValueError(_nothing_left(path, skipped))
    samples = [
        ImageTextSample(
            key=image,
            captions=tuple(known.captions),
            generated_captions=tuple(known.generated_captions),
            open_image=StoredImage(images, image),
            label=known.label,
            questions=tuple(known.questions),
            split=known.split,
        )
        for image, known in described.items()
    ]
    name = own_name(path) if wanted.split is None else f"{own_name(path)} ({wanted.split})"
    return RowSource(name, select(samples, wanted.limit, wanted.seed), skipped, validator.remarks())


def _check_split(path: Path, split: str, splits: Counter[str | None], column: str) -> None:
    known = sorted(name for name in splits if name is not None)
    if not known:
        raise ValueError(f'{path} has no splits (no line has a "{column}"), so ?split={split} cannot be taken')
    check_choice(f"{path}: split", split, known)


def _nothing_left(path: Path, skipped: Sequence[SkippedSample]) -> str:
    reason, count = Counter(sample.reason for sample in skipped).most_common(1)[0]
    first = next(sample.detail for sample in skipped if sample.reason == reason)
    return f'{path}: nothing can be used: {len(skipped):,} left out, {count:,} for "{reason}"; the first: {first}'
