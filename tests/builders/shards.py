"""Shards for tests: tar files of samples, sound and damaged."""

import io
import tarfile
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal

from PIL import Image


@lru_cache(maxsize=64)
def image_bytes(color: int = 0, size: int = 16, kind: str = "PNG") -> bytes:
    """Return a small image file of one color."""
    file = io.BytesIO()
    Image.new("RGB", (size, size), (color % 256, color // 256 % 256, 128)).save(file, kind)
    return file.getvalue()


def member(
    name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, form: Literal[0, 1, 2] = tarfile.GNU_FORMAT
) -> bytes:
    """Return a member of a tar file: its header, and its content in whole blocks."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    header = info.tobuf(form, "utf-8", "surrogateescape")
    return header + content + b"\0" * (-len(content) % tarfile.BLOCKSIZE)


def tar_bytes(members: Iterable[tuple[str, bytes]]) -> bytes:
    """Return a tar file of these names and contents."""
    return b"".join(member(name, content) for name, content in members) + b"\0" * (2 * tarfile.BLOCKSIZE)


def write_shard(path: Path, samples: Mapping[str, Mapping[str, bytes | str]]) -> Path:
    """Write a tar file of samples: suffixes and contents by key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    members = [
        (f"{key}.{suffix}", content.encode() if isinstance(content, str) else content)
        for key, sample in samples.items()
        for suffix, content in sample.items()
    ]
    path.write_bytes(tar_bytes(members))
    return path


def captioned(number: int, caption: str | None = None) -> dict[str, bytes | str]:
    """Return a sample with an image of its own color and a caption."""
    return {"png": image_bytes(number), "txt": f"a caption of image {number}" if caption is None else caption}


def write_set(folder: Path, num_shards: int = 3, num_samples: int = 4) -> Path:
    """Write a set of shards in the layout of img2dataset, with keys of nine digits."""
    for shard in range(num_shards):
        numbers = [shard * 10_000 + number for number in range(num_samples)]
        write_shard(folder / f"{shard:05d}.tar", {f"{number:09d}": captioned(number) for number in numbers})
    return folder
