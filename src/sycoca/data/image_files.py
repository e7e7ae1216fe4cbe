"""Where named images live: a folder or a zip file."""

import io
import os
import zipfile
from pathlib import Path
from typing import Protocol, final, runtime_checkable

from PIL import Image

from sycoca.preprocess.decoding import open_rgb

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
"""Endings by which image files are told from others."""


@runtime_checkable
class ImageFiles(Protocol):
    """Images by name."""

    def open(self, name: str, smallest_side: int | None = None) -> Image.Image:
        """Read one image as RGB; ``smallest_side`` as in `ImageOpener`."""
        ...


def open_image_files(path: Path) -> ImageFiles:
    """Return the images of a folder or of a zip file."""
    if path.is_dir():
        return ImageFolder(path)
    if path.is_file() and zipfile.is_zipfile(path):
        return ZippedImages(path)
    raise ValueError(f"images must be a folder or a zip file, {path} is neither")


@final
class ImageFolder:
    """Image files below a folder; absolute names are taken as they are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, name: str, smallest_side: int | None = None) -> Image.Image:
        """Read one image as RGB."""
        return open_rgb(self._folder / name, smallest_side=smallest_side)


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
            raise ValueError(f"{self._path} has no member {name}") from error
        return open_rgb(io.BytesIO(data), f"{self._path}/{name}", smallest_side)

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return ZippedImages, (self._path,)

    def _opened(self) -> zipfile.ZipFile:
        # Forked loader workers would share one file position, so each process opens the file itself.
        if self._archive is None or self._owner != os.getpid():
            self._archive = zipfile.ZipFile(self._path)
            self._owner = os.getpid()
        return self._archive
