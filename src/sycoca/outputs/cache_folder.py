"""The folder of what is computed once and may be deleted at any time."""

import os
import sys
from pathlib import Path


def user_cache_folder() -> Path:
    """Return the folder sycoca in the user's cache folder, which ``XDG_CACHE_HOME`` names on every system."""
    chosen = os.environ.get("XDG_CACHE_HOME")
    if chosen:
        folder = Path(chosen)
    elif sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Caches"
    else:
        folder = Path.home() / ".cache"
    return folder / "sycoca"
