"""Image files without captions or labels, as a source."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sycoca.data.formats.image_files import ImageFolder, StoredImage, open_image_files
from sycoca.data.formats.passed_over import warn_of_passed_over
from sycoca.data.samples import ImageOpener, ImageTextSample, source_repr
from sycoca.file_names import IMAGE_SUFFIXES, existing, has_suffix
from sycoca.unusable import unusable

_DATA_SUFFIXES = frozenset({"jsonl", "csv", "tsv", "json", "tar", "parquet"})
"""Suffixes of files that list or contain images; other files are taken for images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedImages:
    """One sample per image, called by the path that opens it from the working directory, without captions."""

    images: Sequence[StoredImage]
    """The images."""

    name: str = "image files"
    """Name in reports."""

    def __repr__(self) -> str:
        return source_repr(self)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> ImageTextSample:
        image = self.images[index]
        key = image.path.encode("utf-8", "backslashreplace").decode()
        opener: ImageOpener = image if key == image.path else _UnnamedImage(key)
        return ImageTextSample(key=key, captions=(), open_image=opener)


@dataclass(frozen=True, slots=True)
class _UnnamedImage:
    """An image whose name cannot be written down."""

    shown: str

    def __call__(self, smallest_side: int | None = None, /) -> Image.Image:  # noqa: ARG002 (an opener takes it)
        raise unusable(self.shown, "unreadable file", f"{self.shown}: its name is not UTF-8; rename the file")


def stored_images(path: str | Path) -> Iterator[StoredImage]:
    """Yield the image that a path names, or all images below a folder or in a zip file; nothing for other paths.

    Raises ValueError for an empty text, which pathlib takes for the working folder.
    """
    if path == "":
        raise ValueError("a path of images is empty; the working folder is .")
    found = Path(existing(path))
    if found.is_dir() or (has_suffix(found, ".zip") and found.is_file()):
        files = open_image_files(found)
        names = files.image_names()
        if names:
            warn_of_passed_over(found)
        yield from (StoredImage(files, name) for name in names)
        return
    is_no_list = found.is_file() and not _DATA_SUFFIXES.intersection(found.name.lower().split(".")[1:])
    if has_suffix(found, *IMAGE_SUFFIXES) or is_no_list:
        yield StoredImage(ImageFolder(Path("")), str(path))


def shown_name(sample: ImageTextSample) -> str:
    """Return what a sample is called for people: the path that opens its image, or its key where there is none."""
    return image_path(sample) or sample.key


def image_path(sample: ImageTextSample) -> str | None:
    """Return the path that opens a sample's image from the working directory; None where it is no file."""
    return sample.open_image.path if isinstance(sample.open_image, StoredImage) else None
