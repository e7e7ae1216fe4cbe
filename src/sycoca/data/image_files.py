"""Where named images live: a folder or a zip file."""

import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, final, runtime_checkable

from PIL import Image

from sycoca.preprocess.decoding import open_rgb
from sycoca.unusable import unusable

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
"""Endings by which image files are told from others."""

Fingerprint = tuple[str, int, int]
"""An image file's absolute name, its size in bytes, and its time of change in ns or its checksum in a zip file."""


@runtime_checkable
class ImageFiles(Protocol):
    """Images by name."""

    def open(self, name: str, smallest_side: int | None = None) -> Image.Image:
        """Read one image as RGB; arguments and errors as in `ImageOpener`."""
        ...

    def fingerprint(self, name: str) -> Fingerprint | None:
        """Tell one state of a file from others without reading it; None where there is no such file."""
        ...


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image in a file: an `ImageOpener` that knows what it opens."""

    files: ImageFiles
    """The folder or zip file."""

    name: str
    """The image's name in it."""

    def __call__(self, smallest_side: int | None = None, /) -> Image.Image:
        """Read the image as RGB; arguments and errors as in `ImageOpener`."""
        return self.files.open(self.name, smallest_side)

    def fingerprint(self) -> Fingerprint | None:
        """Tell one state of the file from others without reading it; None where there is no such file."""
        return self.files.fingerprint(self.name)


def open_image_files(path: Path) -> ImageFiles:
    """Return the images of a folder or of a zip file."""
    if path.is_dir():
        return ImageFolder(path)
    if path.is_file() and zipfile.is_zipfile(path):
        return ZippedImages(path)
    raise ValueError(f"images must be a folder or a zip file, {path} is neither")


@final
@dataclass(frozen=True, slots=True)
class ImageFolder:
    """Image files below a folder; absolute names are taken as they are."""

    folder: Path
    """The folder."""

    def open(self, name: str, smallest_side: int | None = None) -> Image.Image:
        """Read one image as RGB."""
        return open_rgb(self.folder / name, smallest_side=smallest_side)

    def fingerprint(self, name: str) -> Fingerprint | None:
        """Return the absolute path, size in bytes and time of the last change in nanoseconds."""
        path = os.path.abspath(self.folder / name)
        try:
            status = os.stat(path)
        except (OSError, ValueError):  # ValueError: a NUL in the name
            return None
        return path, status.st_size, status.st_mtime_ns


@final
class ZippedImages:
    """Members of a zip file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._archive: zipfile.ZipFile | None = None
        self._owner = -1

    def open(self, name: str, smallest_side: int | None = None) -> Image.Image:
        """Read one image as RGB."""
        try:
            data = self._opened().read(name)
        except KeyError as error:
            raise unusable(name, "missing image", f"{self._path} has no member {name}") from error
        return open_rgb(io.BytesIO(data), f"{self._path}/{name}", smallest_side)

    def fingerprint(self, name: str) -> Fingerprint | None:
        """Return the archive's absolute path with the member's name, its size in bytes and its CRC."""
        try:
            member = self._opened().getinfo(name)
        except KeyError:
            return None
        return f"{os.path.abspath(self._path)}/{member.filename}", member.file_size, member.CRC

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return ZippedImages, (self._path,)

    def _opened(self) -> zipfile.ZipFile:
        # Forked loader workers would share one file position, so each process opens the file itself.
        if self._archive is None or self._owner != os.getpid():
            self._archive = zipfile.ZipFile(self._path)
            self._owner = os.getpid()
        return self._archive
