"""The index of one shard: where its images are, their texts, and what is unusable."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from sycoca.data.formats.rows import Columns
from sycoca.data.formats.shards.groups import Group, grouped
from sycoca.data.formats.shards.sample_texts import Content, SampleTexts, packed, read_texts
from sycoca.data.formats.shards.shard_files import ShardFiles
from sycoca.data.formats.shards.tar_members import BLOCK, TarBytes
from sycoca.facts.input_limits import InputLimitError
from sycoca.unusable import SkippedSample, SkipReason

IMAGE_RECORD = np.dtype([("offset", "<u8"), ("size", "<u4"), ("key", "<u4")])
"""Where an image is in its shard, and its key as a number: 16 bytes."""

KEY_IN_TEXTS = 2**32 - 1
"""The number of a key that is no number."""

_NUMBERED_KEY = re.compile(r"(.*?)([0-9]{1,18})", re.DOTALL)
_GZIP = b"\x1f\x8b"


class KeyNumbers(NamedTuple):
    """How the keys of a shard are numbered: a prefix, then a number of so many digits."""

    prefix: str
    width: int
    least: int
    """The number that is stored as 0."""

    def key(self, number: int) -> str:
        """Return the key of a stored number."""
        return f"{self.prefix}{self.least + number:0{self.width}d}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ScannedShard:
    """The index of one shard."""

    images: np.ndarray
    """A record per image, see `IMAGE_RECORD`."""

    content: UInt8[np.ndarray, " samples"]
    """What each sample has beside its image, see `Content`."""

    texts: Sequence[bytes]
    """The packed texts."""

    keys: KeyNumbers
    """How its keys are numbered."""

    skipped: Sequence[SkippedSample]
    """Unusable samples, and captions that are left out."""

    fields: Sequence[str] = ()
    """Names of the fields of its JSON members."""


def scan_shard(files: ShardFiles, shard: int, size: int, columns: Columns) -> ScannedShard:
    """Read the headers and texts of a shard, past its images.

    Raises ValueError where the file as a whole is another kind of file, and OSError where it cannot be read.
    """
    path, name = files.paths[shard], files.names[shard]
    file = TarBytes(partial(files.read, shard), size)
    _refuse_compressed(file, path)
    try:
        groups, damages = grouped(file)
    except InputLimitError as error:
        lost = SkippedSample(name=name, reason="file too large", detail=f"{path} cannot be indexed: {error}")
        return _scanned([], [lost])
    skipped = [
        SkippedSample(name=f"{name}, byte {one.offset}", reason="damaged shard", detail=f"{path} {one.detail}{_AGAIN}")
        for one in damages
    ]
    found: list[tuple[Group, SampleTexts]] = []
    fields = set[str]()
    for group in groups:
        texts, left_out = _read(group, f"{name}/{shown(group.key)}", path, columns, fields)
        skipped += left_out
        if texts is not None:
            found.append((group, texts))
    return replace(_scanned(found, skipped), fields=sorted(fields))


_AGAIN = "; what it holds there is lost; fetch the shard again"


def shown(key: str) -> str:
    """Return a key as text that can be written down."""
    return key.encode("utf-8", "backslashreplace").decode()


def lacks_texts(name: str, path: str, content: Content) -> SkippedSample:
    """Return the record of a sample that has less beside its image than others of its source."""
    lacks = "no caption" if content else "neither caption nor label"
    return SkippedSample(name=name, reason="no caption", detail=f"{path}: {name} has {lacks}, and other samples have")


def _read(
    group: Group, name: str, path: str, columns: Columns, fields: set[str]
) -> tuple[SampleTexts | None, list[SkippedSample]]:
    fault = group.fault
    if fault is None and group.image is None:
        has = ", ".join(sorted(group.texts))
        fault = "missing image", f"it has no image beside {has}; images are .jpg, .png or .webp"
    if fault is None:
        return read_texts(group, name, path, columns, fields)
    reason: SkipReason = fault[0]
    return None, [SkippedSample(name=name, reason=reason, detail=f"{path}, sample {shown(group.key)}: {fault[1]}")]


def _scanned(found: Sequence[tuple[Group, SampleTexts]], skipped: Sequence[SkippedSample]) -> ScannedShard:
    keys = _key_numbers([group.key for group, _ in found])
    images = np.zeros(len(found), IMAGE_RECORD)
    texts: list[bytes] = []
    for index, ((group, own), number) in enumerate(zip(found, _numbers(found, keys), strict=True)):
        assert group.image is not None
        images[index] = group.image.offset, group.image.size, number
        texts.append(packed(replace(own, key=shown(group.key)) if number == KEY_IN_TEXTS else own))
    content = np.array([own.content for _, own in found], np.uint8)
    return ScannedShard(images=images, content=content, texts=texts, keys=keys, skipped=skipped)


def _key_numbers(keys: Sequence[str]) -> KeyNumbers:
    split = next((one for key in keys if (one := _NUMBERED_KEY.fullmatch(key))), None)
    if split is None:
        return KeyNumbers("", 1, 0)
    numbering = KeyNumbers(split[1], len(split[2]), 0)
    numbers = [int(key[len(split[1]) :]) for key in keys if _is_numbered(key, numbering)]
    return numbering._replace(least=min(numbers))


def _numbers(found: Sequence[tuple[Group, SampleTexts]], keys: KeyNumbers) -> Iterator[int]:
    for group, _ in found:
        number = int(group.key[len(keys.prefix) :]) - keys.least if _is_numbered(group.key, keys) else KEY_IN_TEXTS
        yield min(number, KEY_IN_TEXTS)


def _is_numbered(key: str, keys: KeyNumbers) -> bool:
    digits = key[len(keys.prefix) :]
    is_number = key.startswith(keys.prefix) and digits.isascii() and digits.isdigit() and len(digits) <= 18
    return is_number and f"{int(digits):0{keys.width}d}" == digits


def _refuse_compressed(file: TarBytes, path: str) -> None:
    if file.at(0, BLOCK).startswith(_GZIP):
        raise ValueError(
            f"{path} is a gzip file, and samples of a compressed tar cannot be read in any order; unpack it to a plain"
            " tar first (images hardly compress)"
        )
