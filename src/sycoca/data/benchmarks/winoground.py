"""Winoground: two images and two captions of the same words (Thrush et al., CVPR 2022, arXiv 2204.03162)."""

from collections.abc import Iterator
from pathlib import Path

from sycoca.data.benchmarks.entries import line_entries
from sycoca.data.benchmarks.records import PairOfPairs
from sycoca.data.formats.image_files import ImageFiles


def read_winoground(path: Path, files: ImageFiles) -> Iterator[PairOfPairs]:
    """Yield the entries of ``examples.jsonl``: {"id", "image_0", "image_1", "caption_0", "caption_1", "collapsed_tag"}.

    Image names may lack their suffix, as the published ones do; then it is ``.png``. The kind is the collapsed tag
    (Object, Relation, Both).
    """
    for entry in line_entries(path):
        yield PairOfPairs(
            key=f"{path.stem} {entry.optional_text('id') or entry.key}",
            images=(entry.image("image_0", files, ".png"), entry.image("image_1", files, ".png")),
            captions=(entry.text("caption_0"), entry.text("caption_1")),
            kind=entry.optional_text("collapsed_tag"),
        )
