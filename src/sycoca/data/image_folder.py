"""Class folders: DIR/CLASS/image.jpg; the class's name is label and caption."""

from pathlib import Path
from typing import final

from sycoca.data.image_files import IMAGE_SUFFIXES, ImageFolder, StoredImage
from sycoca.data.samples import ImageTextSample
from sycoca.data.selection import select


@final
class FolderSource:
    """Images below one folder per class, in the order of their names."""

    def __init__(self, path: Path, *, limit: int | None = None, seed: int | None = None) -> None:
        if not path.is_dir():
            raise ValueError(f"{path} is not a folder")
        files = sorted(file for file in path.glob("*/**/*") if file.suffix.lower() in IMAGE_SUFFIXES)
        if not files:
            raise ValueError(f"{path} has no images in class folders (expected {path}/CLASS/image.jpg)")
        self._folder = path
        self._images = ImageFolder(path)
        self._files = select(files, limit, seed)
        self.name = path.name

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> ImageTextSample:
        file = self._files[index]
        inside = file.relative_to(self._folder)
        label = inside.parts[0].replace("_", " ")
        name = inside.as_posix()
        return ImageTextSample(key=name, captions=(label,), open_image=StoredImage(self._images, name), label=label)
