"""What lies in a folder or zip file of images and is not read, although people may take it for images."""

import logging
import os
import zipfile
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from sycoca.data.formats.image_files import is_hidden
from sycoca.file_names import IMAGE_SUFFIXES, existing, has_suffix
from sycoca.preprocess.decoding import FORMATS

logger = logging.getLogger(__name__)

_OTHER_SUFFIXES = frozenset(
    {".avif", ".heic", ".heif", ".ico", ".jfif", ".jp2", ".jpe", ".jxl", ".psd", ".svg", ".tga"}
    | {".exr", ".pbm", ".pgm", ".pnm", ".ppm"}
    | {".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".raw", ".rw2"}
)
"""Suffixes of images that are not among those that are read; .jfif and .jpe are JPEG under another name."""

_MOST_NAMED = 3
"""Most folders that a remark names."""


@lru_cache(maxsize=64)
def warn_of_passed_over(path: Path) -> None:
    """Say what of a folder or zip file is passed over, once in a process: data is opened again for every task."""
    remark = passed_over(path)
    if remark is not None:
        logger.warning(remark)


def passed_over(path: Path) -> str | None:
    """Return the remark that there are images which are not read, or folders that are not entered; None without any."""
    path = Path(existing(path))
    if path.is_dir():
        files, linked, closed = _in_folder(path)
    else:
        files, linked, closed = _in_zip(path), [], []
    suffixes = Counter(os.path.splitext(name)[1].lower() for name in files if has_suffix(name, *_OTHER_SUFFIXES))
    parts = []
    if suffixes:
        kinds = f"{', '.join(FORMATS[:-1])} and {FORMATS[-1]}"
        counts = ", ".join(f"{number:,} {suffix}" for suffix, number in sorted(suffixes.items()))
        parts.append(f"{counts} ({kinds} are read; convert these, and call JPEG files .jpg)")
    if linked:
        parts.append(f"{_folders(linked, 'linked')} (links to folders are not followed; name the folder itself)")
    if closed:
        parts.append(f"{_folders(closed, 'locked')} (no permission to list them)")
    return f"{path}: passed over: {'; '.join(parts)}" if parts else None


def _in_folder(path: Path) -> tuple[list[str], list[str], list[str]]:
    """Return names of files, paths of linked folders, and paths of folders that cannot be listed."""
    files: list[str] = []
    linked: list[str] = []
    closed: list[str] = []
    for folder, inner, own in os.walk(path, onerror=lambda error: closed.append(str(error.filename))):
        inner[:] = [name for name in inner if not is_hidden(name)]
        files += [name for name in own if not is_hidden(name)]
        linked += [os.path.join(folder, name) for name in inner if os.path.islink(os.path.join(folder, name))]
    return files, [one for one in linked if _holds_images(one)], closed


def _in_zip(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return [name for name in archive.namelist() if not any(map(is_hidden, name.split("/")))]


def _holds_images(folder: str) -> bool:
    return any(has_suffix(name, *IMAGE_SUFFIXES) for _, _, files in os.walk(folder) for name in files)


def _folders(paths: Sequence[str], kind: str) -> str:
    names = sorted(paths)
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return f"{len(names):,} {kind} folder{'s' if len(names) > 1 else ''}: {', '.join(names[:_MOST_NAMED])}{more}"
