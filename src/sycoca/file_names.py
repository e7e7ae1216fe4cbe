"""Files by the names that lists give them, which may be written otherwise than on the disk."""

import os
from functools import lru_cache

from sycoca.texts import normal_form

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
"""Suffixes of image files."""

SUFFIXES_IN_FOLDERS = IMAGE_SUFFIXES | {".tar", ".parquet", ".arrow"}
"""Suffixes of the files that are read where data is named by its folder."""


def spelled_otherwise(path: str | os.PathLike[str]) -> str | None:
    """Return the file that is meant by a path that does not exist; None where there is none, or more than one.

    It may differ in Unicode form (a Mac stores accents as characters of their own), in backslashes for slashes
    (a list made on Windows) and in spaces around the name (a table with ", " between its fields).
    """
    text = os.fspath(path)
    folder, name = os.path.split(text)
    variants = (text, os.path.join(folder, name.strip()), text.replace("\\", "/"), text.replace("\\", "/").strip())
    try:
        return next((found for variant in dict.fromkeys(variants) if (found := _in_any_form(variant))), None)
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None


def in_other_case(path: str | os.PathLike[str]) -> str | None:
    """Return the only file in the same folder whose name differs in upper and lower case alone."""
    folder, name = os.path.split(os.fspath(path))
    try:
        alike = _names_by_case(folder or ".", os.stat(folder or ".").st_mtime_ns).get(normal_form(name).casefold(), ())
    except (OSError, ValueError):
        return None
    return os.path.join(folder, alike[0]) if len(alike) == 1 and alike[0] != name else None


def meant_name(name: str) -> str:
    """Return what names that may mean one file have in common."""
    return normal_form(name.strip().replace("\\", "/"))


def own_name(path: str | os.PathLike[str]) -> str:
    """Return the last part of a path, also of "." and "..", which stand for folders with names of their own."""
    return os.path.basename(os.path.abspath(path)) or os.fspath(path)


def has_suffix(path: str | os.PathLike[str], *suffixes: str) -> bool:
    """Return whether a name ends with one of the suffixes, in upper or lower case; each begins with its dot.

    A suffix may have several parts, such as ``.csv.gz``.
    """
    name = os.path.basename(path).casefold()
    return name.endswith(suffixes) and name not in suffixes


def existing(path: str | os.PathLike[str]) -> str:
    """Return the path itself where it exists, else the file that is meant by it, else the path."""
    try:
        is_there = os.path.exists(path)
    except ValueError:
        is_there = False
    return os.fspath(path) if is_there else spelled_otherwise(path) or os.fspath(path)


def is_inside(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> bool:
    """Return whether the file that a path means is in a folder or below it, all symbolic links resolved."""
    root = os.path.realpath(folder)
    try:
        return os.path.commonpath([root, os.path.realpath(existing(path))]) == root
    except (OSError, ValueError):  # ValueError: a NUL in the name, or another drive
        return False


def _in_any_form(path: str) -> str | None:
    if os.path.exists(path):
        return path
    folder, name = os.path.split(path)
    if not name or path.isascii():
        return None
    parent = _in_any_form(folder) if folder else ""
    if parent is None:
        return None
    here = os.path.join(parent, name)
    if os.path.exists(here):
        return here
    alike = _names_by_form(parent or ".", os.stat(parent or ".").st_mtime_ns).get(normal_form(name), ())
    return os.path.join(parent, alike[0]) if len(alike) == 1 else None


@lru_cache(maxsize=8)
def _names_by_case(folder: str, _changed_at: int) -> dict[str, tuple[str, ...]]:
    """Return the names in a folder by their normal form without case."""
    names: dict[str, tuple[str, ...]] = {}
    for name in os.listdir(folder):
        form = normal_form(name).casefold()
        names[form] = (*names.get(form, ()), name)
    return names


@lru_cache(maxsize=64)
def _names_by_form(folder: str, _changed_at: int) -> dict[str, tuple[str, ...]]:
    """Return the names in a folder that are not ASCII by their normal form."""
    names: dict[str, tuple[str, ...]] = {}
    for name in os.listdir(folder):
        if not name.isascii():
            form = normal_form(name)
            names[form] = (*names.get(form, ()), name)
    return names
