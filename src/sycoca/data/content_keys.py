"""Keys of equal images and equal captions, so that a sample is no negative of its own copy; states of image files."""

import hashlib
from typing import Protocol, runtime_checkable

from PIL import Image

from sycoca.data.samples import ImageOpener
from sycoca.texts import normal_form

Fingerprint = tuple[str, int, int]
"""An image file's absolute path, its size in bytes, and its modification time in ns, or its CRC in a zip file."""


@runtime_checkable
class HasContent(Protocol):
    """An image opener that knows the bytes of its file."""

    def content(self) -> bytes:
        """Return the file's bytes; raises UnusableSampleError where they cannot be read."""
        ...


@runtime_checkable
class HasFingerprint(Protocol):
    """An image opener that knows the state of its file."""

    def fingerprint(self) -> Fingerprint | None:
        """Return what identifies the file's present state without reading it; None where there is no such file."""
        ...


def content_key(content: bytes) -> int:
    """Return a 63-bit key that is equal for equal bytes, on every machine."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big") >> 1


def image_key(opener: ImageOpener, image: Image.Image) -> int:
    """Return the key of an image: of its file's bytes, or of the pixels of ``image`` where there is no file."""
    if isinstance(opener, HasContent):
        return content_key(opener.content())
    return content_key(repr(image.size).encode() + image.tobytes())


def normalized_caption(caption: str) -> str:
    """Return the caption in Unicode's NFC, without case, and with single spaces: equal where captions are equal."""
    return " ".join(normal_form(caption).casefold().split())
