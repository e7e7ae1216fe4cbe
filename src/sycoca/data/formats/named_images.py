"""Image files without captions or labels, as a source."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sycoca.data.samples import ImageTextSample
from sycoca.preprocess.decoding import open_rgb


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedImages:
    """One sample per file, called by its path, without captions."""

    files: tuple[Path, ...]
    """The images."""

    name: str = "image files"
    """Name in reports."""

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> ImageTextSample:
        file = self.files[index]
        return ImageTextSample(key=str(file), captions=(), open_image=_ImageFile(file))


@dataclass(frozen=True, slots=True)
class _ImageFile:
    """Opens one file."""

    path: Path

    def __call__(self, smallest_side: int | None = None, /) -> Image.Image:
        return open_rgb(self.path, smallest_side=smallest_side)
