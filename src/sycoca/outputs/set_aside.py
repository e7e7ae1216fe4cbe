"""Files and folders that cannot be used any more are renamed, not deleted: a person may still want to look at them."""

from itertools import chain, count
from pathlib import Path
from typing import Literal

Suffix = Literal[".damaged", ".unsound"]
"""Why something was renamed: it cannot be read as what it is; or no step after the checkpoint had a finite gradient."""


def set_aside(path: Path, suffix: Suffix) -> Path:
    """Rename a file or folder to its name with a suffix, or with a number behind it, and return the new path."""
    return path.rename(free_name(path.with_name(f"{path.name}{suffix}")))


def free_name(path: Path) -> Path:
    """Return the path, or the first with a number at its end that does not exist."""
    others = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return next(one for one in chain([path], others) if not one.exists())
