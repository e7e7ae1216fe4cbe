"""Samples in shards: tar files in the layout of webdataset and img2dataset."""

import io
import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Int64
from PIL import Image

from sycoca.data.choices import check_choice
from sycoca.data.content_keys import Fingerprint
from sycoca.data.formats.rows import Columns
from sycoca.data.formats.shards.build import open_index
from sycoca.data.formats.shards.index import PackedIndex
from sycoca.data.formats.shards.page_cache import PageCacheReadAhead
from sycoca.data.formats.shards.remote.blocks import ImageBlocks
from sycoca.data.formats.shards.remote.piece_cache import CacheOptions
from sycoca.data.formats.shards.remote.read_ahead import ReadAhead
from sycoca.data.formats.shards.remote.remote_files import RemoteShards, is_remote, remote_paths
from sycoca.data.formats.shards.shard_files import CAN_READ_AHEAD, LocalShards, ShardFiles
from sycoca.data.formats.shards.shard_names import shard_paths
from sycoca.data.formats.shards.tar_members import BLOCK, is_header_of
from sycoca.data.samples import ImageTextSample, Shard, source_repr
from sycoca.data.selection import EVERYTHING, Selection, select
from sycoca.outputs.disk_full import disk_full_reason
from sycoca.preprocess.decoding import open_rgb
from sycoca.texts import normal_form
from sycoca.unusable import SkippedSample, SkipReason, UnusableSampleError, unusable

logger = logging.getLogger(__name__)


@final
class ShardImages:
    """The images of indexed shards by number."""

    def __init__(self, files: ShardFiles, index: PackedIndex) -> None:
        self.files = files
        self.index = index
        self.blocks = ImageBlocks(files, index) if isinstance(files, RemoteShards) else None
        self._last = threading.local()

    def __reduce__(self) -> tuple[type["ShardImages"], tuple[ShardFiles, PackedIndex]]:
        return ShardImages, (self.files, self.index)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ShardImages) and self.files == other.files

    def __hash__(self) -> int:
        return hash(self.files)

    def read(self, number: int) -> bytes:
        """Return the bytes of an image; a thread keeps its last one, which is asked for again for its key."""
        if getattr(self._last, "number", None) != number:
            self._last.content, self._last.number = self._read(number), number
        return self._last.content

    def _read(self, number: int) -> bytes:
        place = self.index.image(number)
        try:
            if self.blocks is not None:
                return self.blocks.read(number, place)
            content = self.files.read(place.shard, place.offset - BLOCK, BLOCK + place.size)
        except ConnectionError:
            raise  # the sample is not to blame
        except OSError as error:
            if disk_full_reason(error) is not None:
                raise  # that of the cache
            raise self._unusable(number, "unreadable file", f"cannot be read: {error.strerror or error}") from error
        if len(content) < BLOCK + place.size or not is_header_of(content[:BLOCK], place.size):
            raise self._unusable(number, "damaged shard", "has changed since it was indexed; start again")
        return content[BLOCK:]

    def _unusable(self, number: int, reason: SkipReason, what: str) -> UnusableSampleError:
        name, path = self.index.key(number), self.files.paths[self.index.shard_of(number)]
        return unusable(name, reason, f"{name}: {path} {what}")

    def fingerprint(self, number: int) -> Fingerprint:
        """Return what identifies the present state of an image: its place, its size, and the time of its shard."""
        place = self.index.image(number)
        state = self.index.shards[place.shard].state
        return f"{Path(self.files.paths[place.shard]).absolute()}@{place.offset}", place.size, state.version


@dataclass(frozen=True, slots=True)
class ShardImage:
    """An image in a shard, as an `ImageOpener`."""

    images: ShardImages
    """The images of all shards."""

    number: int
    """The image's number among them."""

    def __call__(self, smallest_side: int | None = None, /) -> Image.Image:
        """Read the image as RGB; arguments and errors as in `ImageOpener`."""
        name = self.images.index.key(self.number)
        return open_rgb(io.BytesIO(self.content()), name, smallest_side)

    def fingerprint(self) -> Fingerprint:
        """Return what identifies the present state of the image without reading it."""
        return self.images.fingerprint(self.number)

    def content(self) -> bytes:
        """Return the image's bytes; raises UnusableSampleError where they cannot be read."""
        return self.images.read(self.number)


@final
class ShardSource:
    """The samples of shards, each built when it is asked for; unusable ones are in ``skipped``."""

    def __init__(
        self,
        name: str,
        files: ShardFiles,
        index: PackedIndex,
        numbers: Int64[np.ndarray, " samples"] | range,
    ) -> None:
        """Take the samples of an index with these numbers, which ascend."""
        self.name = name
        self._images = ShardImages(files, index)
        self._numbers = numbers

    def __repr__(self) -> str:
        return source_repr(self)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> ImageTextSample:
        number = int(self._numbers[index])
        packed = self._images.index
        texts = packed.texts(number)
        return ImageTextSample(
            key=packed.key(number, texts),
            captions=texts.captions,
            generated_captions=texts.generated_captions,
            open_image=ShardImage(self._images, number),
            label=texts.label,
            split=texts.split,
            questions=texts.questions,
        )

    def read_ahead(self, blocks: Iterator[range], window: int) -> ReadAhead | PageCacheReadAhead | None:
        """Begin to fetch or read blocks of samples before they are needed; None where the system cannot.

        ``blocks`` are ranges of samples in the order of their first use, ``window`` is how many samples are shuffled
        together.
        """
        numbers = ([int(self._numbers[index]) for index in block] for block in blocks)
        files = self._images.files
        if self._images.blocks is not None:
            return ReadAhead(self._images.blocks, numbers, window)
        if isinstance(files, LocalShards) and CAN_READ_AHEAD:
            return PageCacheReadAhead(files, self._images.index, numbers, window)
        return None

    @property
    def skipped(self) -> Sequence[SkippedSample]:
        """Unusable samples, and captions that are left out, of all shards."""
        return self._images.index.skipped

    @cached_property
    def shards(self) -> Sequence[Shard]:
        """The shards that have samples, in order."""
        index = self._images.index
        stops = [_first_from(self._numbers, stop) for stop in index.stops]
        firsts = [0, *stops[:-1]]
        return tuple(
            Shard(name=shard.name, first=first, stop=stop)
            for shard, first, stop in zip(index.shards, firsts, stops, strict=True)
            if first < stop
        )


def open_shards(
    path: str,
    *,
    columns: Columns | None = None,
    wanted: Selection = EVERYTHING,
    index: Path | None = None,
    cache: CacheOptions | None = None,
) -> ShardSource:
    """Open the samples of shards: a tar file, a brace range of them, a glob pattern, or a folder of tar files.

    ``columns`` names the fields of JSON members; ``index`` is the folder of the packed index, see `open_index`.
    ``cache`` is where pieces of remote shards are kept. Raises ValueError where there are no shards, or nothing in them
    can be used, and ConnectionError where a server cannot be reached.
    """
    columns = Columns() if columns is None else columns
    files = _files(path, cache, columns)
    packed = open_index(files, columns, index)
    for field, name in columns.renamed():
        check_choice(f"{path}: the field for {field}", name, packed.fields)
    if len(packed) == 0:
        raise ValueError(_nothing(path, packed))
    numbers: range | Int64[np.ndarray, " samples"] = range(len(packed))
    name = Path(path).name
    if wanted.split is not None:
        numbers = _of_split(packed, path, normal_form(wanted.split))
        name = f"{name} ({wanted.split})"
    return ShardSource(name, files, packed, _limited(numbers, wanted))


def _files(path: str, cache: CacheOptions | None, columns: Columns) -> ShardFiles:
    given = CacheOptions() if cache is None else cache
    if is_remote(path):
        return RemoteShards(remote_paths(path), given.open())
    if given != CacheOptions():
        raise ValueError(f"{path}: shards on the disk need no cache; leave ?cache= and ?cache_gb= out")
    paths = shard_paths(path)
    _warn_of_lines(Path(paths[0]).absolute(), columns)
    return LocalShards(paths)


def _warn_of_lines(first: Path, columns: Columns) -> None:
    """Say that several captions would be read as one, where CLIP_benchmark's own file tells what the shards are for."""
    kind = first.parent.parent / "dataset_type.txt"
    if columns.captions == Columns().captions and kind.is_file() and kind.read_bytes().strip().lower() == b"retrieval":
        logger.warning(
            f"{kind} says retrieval: in such sets of CLIP_benchmark each line of a .txt is a caption, which"
            " ?captions=txt reads; without it all lines are one caption"
        )


def _of_split(packed: PackedIndex, path: str, split: str) -> Int64[np.ndarray, " samples"]:
    """Return the numbers of the samples of a split, for which the texts of all samples are read."""
    splits = [packed.texts(number).split for number in range(len(packed))]
    known = sorted({one for one in splits if one is not None})
    if not known:
        raise ValueError(f'{path} has no splits (no JSON member has a "split"), so ?split={split} cannot be taken')
    check_choice(f"{path}: split", split, known)
    return np.flatnonzero([one == split for one in splits]).astype(np.int64)


def _limited(
    numbers: range | Int64[np.ndarray, " samples"], wanted: Selection
) -> range | Int64[np.ndarray, " samples"]:
    if wanted.limit is None or wanted.limit >= len(numbers):
        return numbers
    if wanted.seed is None:
        return numbers[: wanted.limit]
    places = select(range(len(numbers)), wanted.limit, wanted.seed)
    return np.asarray(numbers, dtype=np.int64)[places]


def _first_from(numbers: range | Int64[np.ndarray, " samples"], least: int) -> int:
    """Return how many of the ascending numbers are below one."""
    return min(least, len(numbers)) if isinstance(numbers, range) else int(np.searchsorted(numbers, least))


def _nothing(path: str, packed: PackedIndex) -> str:
    if not packed.skipped:
        return f"{path} has no samples: members are KEY.jpg (or .png, .webp) with KEY.txt or KEY.json beside it"
    return f"{path}: nothing can be used: {len(packed.skipped):,} left out; the first: {packed.skipped[0].detail}"
