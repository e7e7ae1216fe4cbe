"""The packed index of a source of shards, opened by memory mapping: no object per sample, one copy for all processes.

```text
images.npy    offset, size and key of every image, 16 bytes each, shard after shard
texts.npy     where the texts of a sample end, 8 bytes each
texts.bin     captions, and what else samples have beside their images
skipped.bin   unusable samples, a JSON object each, with skipped.npy
index.json    the shards: sizes and times, which samples are theirs, how their keys are numbered
```
"""

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple, final, overload

import numpy as np

from sycoca.data.formats.shards.packed_lines import PackedLines
from sycoca.data.formats.shards.sample_texts import Content, SampleTexts, unpacked_texts
from sycoca.data.formats.shards.scan import IMAGE_RECORD, KEY_IN_TEXTS, KeyNumbers
from sycoca.data.formats.shards.shard_files import ShardState
from sycoca.unusable import SkippedSample

FORMAT_VERSION = 4
"""Version of the files of an index; others are built again."""

INDEX_FILE, IMAGES_FILE, TEXTS_FILE, SKIPPED_FILE = "index.json", "images.npy", "texts.bin", "skipped.bin"
"""The files of an index."""


class IndexedShard(NamedTuple):
    """What an index says about a shard."""

    name: str
    state: ShardState
    num_samples: int
    num_skipped: int
    keys: KeyNumbers


class ImagePlace(NamedTuple):
    """Where an image is."""

    shard: int
    offset: int
    size: int


@final
class SkippedRecords(Sequence[SkippedSample]):
    """The unusable samples of an index, read from their file one by one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = PackedLines(path)

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, index: int) -> SkippedSample: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[SkippedSample]: ...

    def __getitem__(self, index: int | slice) -> SkippedSample | Sequence[SkippedSample]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self):,} unusable samples, not {index}")
        try:
            return SkippedSample(**json.loads(self._lines[index % len(self)]))
        except (ValueError, TypeError) as error:
            raise _damaged(self._path, error) from error


@final
class PackedIndex:
    """The index of a source of shards."""

    def __init__(self, folder: Path) -> None:
        """Open an index. Raises ValueError or OSError where it is damaged or of another version."""
        self.folder = folder
        described = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
        if described.get("format_version") != FORMAT_VERSION:
            raise ValueError(f"it has version {described.get('format_version')}, not {FORMAT_VERSION}")
        self.content: Content = described["content"]
        self.fields: Sequence[str] = described["fields"]
        self.shards = [_shard(fields) for fields in described["shards"]]
        self.stops = list(accumulate(shard.num_samples for shard in self.shards))
        self._images = np.load(folder / IMAGES_FILE, mmap_mode="r").view(np.ndarray)
        self._texts = PackedLines(folder / TEXTS_FILE)
        self.skipped = SkippedRecords(folder / SKIPPED_FILE)
        number = self.stops[-1] if self.stops else 0
        is_whole = self._images.dtype == IMAGE_RECORD and number == len(self._images) == len(self._texts)
        if not is_whole or sum(shard.num_skipped for shard in self.shards) != len(self.skipped):
            raise ValueError("its files do not fit together")

    def __reduce__(self) -> tuple[type["PackedIndex"], tuple[Path]]:
        return PackedIndex, (self.folder,)

    def __len__(self) -> int:
        return len(self._images)

    def image(self, number: int) -> ImagePlace:
        """Return where the image of a sample is."""
        record = self._images[number]
        return ImagePlace(self.shard_of(number), int(record["offset"]), int(record["size"]))

    def shard_of(self, number: int) -> int:
        """Return the number of a sample's shard."""
        return bisect_right(self.stops, number)

    def image_ranges(self, first: int, stop: int) -> list[tuple[int, int, int]]:
        """Return shard, first byte and last byte + 1 of the images of consecutive samples, for each of their shards."""
        ranges: list[tuple[int, int, int]] = []
        while first < stop:
            shard = self.shard_of(first)
            end = min(stop, self.stops[shard])
            records = self._images[first:end]
            offsets = records["offset"].astype(np.int64)
            ranges.append((shard, int(offsets.min()), int((offsets + records["size"]).max())))
            first = end
        return ranges

    @property
    def mean_bytes(self) -> float:
        """Bytes of a sample, with its part of everything else in the shards."""
        return sum(shard.state.size for shard in self.shards) / max(1, len(self))

    def texts(self, number: int) -> SampleTexts:
        """Return what a sample has beside its image."""
        try:
            return unpacked_texts(self._texts[number])
        except (ValueError, TypeError, KeyError) as error:
            raise _damaged(self.folder / TEXTS_FILE, error) from error

    def key(self, number: int, texts: SampleTexts | None = None) -> str:
        """Return the name of a sample: that of its shard, and its key there. ``texts`` are the sample's, if at hand."""
        shard, own = self.shards[self.shard_of(number)], int(self._images[number]["key"])
        if own != KEY_IN_TEXTS:
            return f"{shard.name}/{shard.keys.key(own)}"
        return f"{shard.name}/{(self.texts(number) if texts is None else texts).key}"

    def packed_samples(self, shard: int) -> tuple[np.ndarray, Sequence[bytes], Sequence[bytes]]:
        """Return images, packed texts and unusable samples of a shard, to be written to another index."""
        stop = self.stops[shard]
        start = stop - self.shards[shard].num_samples
        first = sum(one.num_skipped for one in self.shards[:shard])
        skipped = self.skipped[first : first + self.shards[shard].num_skipped]
        texts = [self._texts[number] for number in range(start, stop)]
        return self._images[start:stop], texts, [packed_record(one) for one in skipped]


def _damaged(file: Path, error: Exception) -> ValueError:
    return ValueError(f"{file} is damaged ({error}); delete the folder of this index, and it is built again")


def packed_record(skipped: SkippedSample) -> bytes:
    """Return an unusable sample as an index stores it: a line of JSON."""
    return json.dumps(asdict(skipped), ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def described_shard(shard: IndexedShard) -> list[object]:
    """Return a shard as ``index.json`` has it."""
    return [shard.name, *shard.state, shard.num_samples, shard.num_skipped, *shard.keys]


def _shard(fields: list) -> IndexedShard:
    name, size, version, num_samples, num_skipped, *keys = fields
    return IndexedShard(name, ShardState(size, version), num_samples, num_skipped, KeyNumbers(*keys))
