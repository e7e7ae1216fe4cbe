"""Put the indexes of single shards together to that of a source."""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import NamedTuple, Protocol, final, get_args, runtime_checkable

import numpy as np

from sycoca.data.formats.shards.index import (
    FORMAT_VERSION,
    IMAGES_FILE,
    INDEX_FILE,
    SKIPPED_FILE,
    TEXTS_FILE,
    IndexedShard,
    PackedIndex,
    described_shard,
    packed_record,
)
from sycoca.data.formats.shards.packed_lines import LinesWriter
from sycoca.data.formats.shards.sample_texts import Content, unpacked_texts
from sycoca.data.formats.shards.scan import (
    IMAGE_RECORD,
    KEY_IN_TEXTS,
    KeyNumbers,
    ScannedShard,
    lacks_texts,
)
from sycoca.data.formats.shards.scanned_file import load_scanned
from sycoca.data.formats.shards.shard_files import ShardState
from sycoca.facts.input_limits import InputLimitError, input_limit, stated_limit


class ShardContent(NamedTuple):
    """Content of a shard that goes into an index: its images, packed texts and packed unusable samples."""

    images: np.ndarray
    texts: Sequence[bytes]
    skipped: Sequence[bytes]
    keys: KeyNumbers


@runtime_checkable
class ShardPart(Protocol):
    """One shard of an index that is being built."""

    @property
    def most(self) -> Content:
        """The most that a usable sample of the shard has beside its image."""
        ...

    @property
    def fields(self) -> Sequence[str]:
        """Names of the fields of JSON members."""
        ...

    def num_samples(self, content: Content) -> int:
        """Return the number of samples with that content."""
        ...

    def num_skipped(self, content: Content) -> int:
        """Return the number of unusable samples and captions, where samples with less content are unusable."""
        ...

    def load(self, content: Content) -> ShardContent:
        """Return what goes into the index."""
        ...


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class OldPart:
    """A shard that has not changed since another index was written."""

    index: PackedIndex
    shard: int

    @property
    def most(self) -> Content:
        """That of the index, whose other samples have been left out."""
        return self.index.content

    @property
    def fields(self) -> Sequence[str]:
        """Those of all shards of the index."""
        return self.index.fields

    def num_samples(self, content: Content) -> int:  # noqa: ARG002 (a part with another content is scanned again)
        """Return the number of all samples."""
        return self.index.shards[self.shard].num_samples

    def num_skipped(self, content: Content) -> int:  # noqa: ARG002
        """Return the number in the index."""
        return self.index.shards[self.shard].num_skipped

    def load(self, content: Content) -> ShardContent:  # noqa: ARG002
        """Read the shard's part of the index."""
        images, texts, skipped = self.index.packed_samples(self.shard)
        return ShardContent(images, texts, skipped, self.index.shards[self.shard].keys)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ScannedPart:
    """A shard that was read anew, in a file of its own."""

    file: Path
    path: str
    """Path of the shard, for messages."""

    name: str
    """Name of the shard."""

    samples: Mapping[int, int]
    """Numbers of usable samples by what they have beside their images."""

    skipped: int
    """Number of unusable samples, and of captions that are left out."""

    fields: Sequence[str]
    """Names of the fields of JSON members."""

    @property
    def most(self) -> Content:
        """The most that a usable sample of the shard has beside its image."""
        return max((kind for kind in get_args(Content) if self.samples.get(kind)), default=0)

    def num_samples(self, content: Content) -> int:
        """Return the number of samples with that content."""
        return self.samples.get(content, 0)

    def num_skipped(self, content: Content) -> int:
        """Return the number of unusable samples, those with less content included."""
        return self.skipped + sum(number for kind, number in self.samples.items() if kind != content)

    def load(self, content: Content) -> ShardContent:
        """Read the file."""
        scanned = load_scanned(self.file)
        is_kept = scanned.content == content
        lacking = [
            lacks_texts(f"{self.name}/{_key(scanned, int(number))}", self.path, content)
            for number in np.flatnonzero(~is_kept)
        ]
        return ShardContent(
            images=scanned.images[is_kept],
            texts=list(compress(scanned.texts, is_kept)),
            skipped=[packed_record(one) for one in [*scanned.skipped, *lacking]],
            keys=scanned.keys,
        )


def scanned_part(file: Path, path: str, name: str, scanned: ScannedShard) -> ScannedPart:
    """Return the part of a shard whose index is in a file."""
    kinds, numbers = np.unique(scanned.content, return_counts=True)
    samples = dict(zip(kinds.tolist(), numbers.tolist(), strict=True))
    return ScannedPart(
        file=file, path=path, name=name, samples=samples, skipped=len(scanned.skipped), fields=scanned.fields
    )


def write_index(
    folder: Path, parts: Sequence[ShardPart], names: Sequence[str], states: Sequence[ShardState], content: Content
) -> None:
    """Write the index of all shards into an empty folder.

    Samples that have less beside their images than ``content`` are left out as unusable.
    """
    num_samples = sum(part.num_samples(content) for part in parts)
    num_skipped = sum(part.num_skipped(content) for part in parts)
    if num_skipped > input_limit("unusable_rows"):
        raise InputLimitError(f"{num_skipped:,} samples cannot be used; {stated_limit('unusable_rows')}")
    images = np.lib.format.open_memmap(folder / IMAGES_FILE, mode="w+", dtype=IMAGE_RECORD, shape=(num_samples,))
    shards: list[IndexedShard] = []
    with ExitStack() as stack:
        texts = stack.enter_context(LinesWriter(folder / TEXTS_FILE, num_samples))
        skipped = stack.enter_context(LinesWriter(folder / SKIPPED_FILE, num_skipped))
        begin = 0
        for part, name, state in zip(parts, names, states, strict=True):
            own = part.load(content)
            images[begin : begin + len(own.images)] = own.images
            begin += len(own.images)
            texts.add(own.texts)
            skipped.add(own.skipped)
            shards.append(IndexedShard(name, state, len(own.images), len(own.skipped), own.keys))
    images.flush()
    described = {
        "format_version": FORMAT_VERSION,
        "content": content,
        "fields": sorted({field for part in parts for field in part.fields}),
        "shards": [described_shard(shard) for shard in shards],
    }
    (folder / INDEX_FILE).write_text(json.dumps(described), encoding="utf-8")


def _key(scanned: ScannedShard, number: int) -> str:
    own = int(scanned.images[number]["key"])
    if own != KEY_IN_TEXTS:
        return scanned.keys.key(own)
    return unpacked_texts(scanned.texts[number]).key or ""
