"""What an image index needs beside sycoca itself. Imports none of it."""

import os
from importlib.util import find_spec


def check_requirements() -> None:
    """Raise ValueError where the extra [search] is not installed."""
    if find_spec("lancedb") is None:
        raise ValueError("an image index needs lancedb: pip install 'sycoca[search]'")
    os.environ.setdefault("LANCEDB_LOG", "error")  # it warns of every table that it creates
