"""One shard: a tar file in the layout of webdataset and img2dataset, the same bytes for the same samples.

000010042.jpg    the image: its file's own bytes, or PNG where it was generated
000010042.txt    the caption, where there is exactly one
000010042.json   {"key", "captions", "generated_captions", "label", "split", "questions"}: all that is known of it
"""

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sycoca.data.content_keys import HasContent
from sycoca.data.loading.skipping import named
from sycoca.data.samples import ImageTextSample
from sycoca.data.writing.write_samples import fields_of
from sycoca.outputs.atomic import atomic_file
from sycoca.outputs.manifest import file_entry
from sycoca.preprocess.decoding import FORMATS
from sycoca.unusable import SkippedSample, UnusableSampleError

SUFFIXES: Mapping[str, str] = {
    "JPEG": "jpg",
    "MPO": "jpg",  # several pictures in a JPEG file, as phones write them
    "PNG": "png",
    "WEBP": "webp",
    "GIF": "gif",
    "TIFF": "tif",
    "BMP": "bmp",
}
"""The suffix of an image's member by the format of its bytes, whatever its file was called."""

_SMALLEST_SIDE = 1
"""A JPEG is decoded at a reduced size, which reads all of its bytes in a fraction of the time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenShard:
    """A shard that is on disk."""

    name: str
    """Its file name."""

    samples: int
    """Samples in it."""

    bytes: int
    """Its size."""

    sha256: str
    """Its SHA-256."""

    skipped: tuple[SkippedSample, ...]
    """Samples that belong into it and cannot be used."""


def write_shard(path: Path, samples: Iterable[tuple[str, ImageTextSample]]) -> WrittenShard:
    """Write samples, each with the name of its members, into a tar file, whole or not at all.

    The file holds no times, owners or paths, so equal samples give equal bytes. Samples whose image cannot be read are
    left out and returned.
    """
    skipped: list[SkippedSample] = []
    num_samples = 0
    with atomic_file(path) as unfinished, tarfile.open(unfinished, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, sample in samples:
            try:
                members = list(_members(sample))
            except UnusableSampleError as error:
                skipped.append(named(error, sample))
                continue
            num_samples += 1
            for suffix, content in members:
                member = tarfile.TarInfo(f"{name}.{suffix}")  # its time and owner are 0
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return WrittenShard(name=path.name, samples=num_samples, skipped=tuple(skipped), **file_entry(path))


def packed_bytes(sample: ImageTextSample) -> int:
    """Return how many bytes a sample takes in a shard; raises UnusableSampleError where its image cannot be read."""
    block = tarfile.BLOCKSIZE
    return sum(block + -(-len(content) // block) * block for _, content in _members(sample))


def _members(sample: ImageTextSample) -> Iterator[tuple[str, bytes]]:
    """Yield suffix and bytes of each member of a sample."""
    yield _image(sample)
    if len(sample.captions) == 1:
        yield "txt", sample.captions[0].encode()
    split = {} if sample.split is None else {"split": sample.split}
    yield "json", json.dumps({"key": sample.key, **fields_of(sample), **split}, ensure_ascii=False).encode()


def _image(sample: ImageTextSample) -> tuple[str, bytes]:
    opener = sample.open_image
    if isinstance(opener, HasContent):
        opener(_SMALLEST_SIDE)  # raises where it does not decode
        content = opener.content()
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return SUFFIXES[str(image.format)], content
    encoded = io.BytesIO()
    opener().save(encoded, "PNG")
    return "png", encoded.getvalue()
