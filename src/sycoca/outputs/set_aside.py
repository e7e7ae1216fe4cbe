"""Files and folders that cannot be used any more are renamed, not deleted: a person may still want to look at them."""

import logging
import os
from itertools import chain, count
from pathlib import Path
from typing import Literal

logger = logging.getLogger(__name__)

Suffix = Literal[".damaged", ".unsound"]
"""Why something was renamed: it cannot be read as what it is; or no step after the checkpoint had a finite gradient."""


def set_aside(path: Path, suffix: Suffix) -> Path:
    """Rename a file or folder to its name with a suffix, or with a number behind it, and return the new path."""
    return path.rename(free_name(path.with_name(f"{path.name}{suffix}")))


def free_name(path: Path) -> Path:
    """Return the path, or the first with a number at its end that does not exist."""
    others = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return next(one for one in chain([path], others) if not os.path.lexists(one))


def set_aside_unusable(path: Path) -> None:
    """Rename what stands in the place of a file and is none that can be read and written; say so in a warning."""
    why = why_unusable(path)
    if why is not None:
        aside = set_aside(path, ".damaged")
        logger.warning(f"{path} {why}; it is now {aside.name}, and a new file is begun")


def why_unusable(path: Path, *, is_written: bool = True) -> str | None:
    """Return why a path is no file that can be read, and written if it ``is_written``; None where it is, or is free."""
    try:
        if path.is_dir():
            return "is a folder"
        if not os.path.lexists(path):
            return None
        if not path.is_file():
            return "is no file"
        with path.open("rb") as file:
            file.read(1)
        if is_written and not os.access(path, os.W_OK):
            return "is read-only"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None
