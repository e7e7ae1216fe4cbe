"""The folder of what is computed once and may be deleted at any time."""

import errno
import os
import sys
from pathlib import Path


def user_cache_folder() -> Path:
    """Return the folder sycoca in the user's cache folder, which ``XDG_CACHE_HOME`` names on every system.

    Raises OSError where the user has no home folder, as in some containers.
    """
    chosen = os.environ.get("XDG_CACHE_HOME")
    if chosen:
        folder = Path(chosen)
    elif sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA", _home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        folder = _home() / "Library" / "Caches"
    else:
        folder = _home() / ".cache"
    return folder / "sycoca"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:
        reason = "this user has no home folder for caches: set XDG_CACHE_HOME to a folder"
        raise OSError(errno.ENOENT, reason) from error
