"""The replacement of an image index: made beside it, and put in its place when it is complete. Needs [search]."""

import shutil
from pathlib import Path

from sycoca.inference.predictor import Predictor
from sycoca.search.fingerprint import is_same_model
from sycoca.search.index_facts import IndexFacts
from sycoca.search.index_table import IndexTable

_FOLDER_NAME = ".replacement"
"""The folder in an index that holds its replacement; hidden ones are no part of the index."""


def is_searched(path: Path) -> bool:
    """Return whether there is an index that can be opened, so that searches may be under way."""
    return _opened(path) is not None


def open_replacement(path: Path, facts: IndexFacts, predictor: Predictor) -> IndexTable:
    """Open the replacement of an index that an interrupted program began with these weights and data, or begin it."""
    folder = path / _FOLDER_NAME
    begun = _opened(folder)
    if begun is not None and begun.facts.place == facts.place and is_same_model(begun.facts.fingerprints, predictor):
        return begun
    shutil.rmtree(folder, ignore_errors=True)
    return IndexTable.create(str(folder), facts)


def publish(path: Path, replacement: IndexTable) -> IndexTable:
    """Put a replacement in the place of its index, in one commit, and return the index."""
    old = _opened(path)
    published = IndexTable.create(str(path), replacement.facts) if old is None else old
    published = replacement.put_in_place_of(published)
    shutil.rmtree(path / _FOLDER_NAME)
    return published


def _opened(path: Path) -> IndexTable | None:
    """Open an index; None where there is none, or it is damaged."""
    try:
        return IndexTable.open(str(path))
    except (ValueError, RuntimeError, OSError):  # those of LanceDB
        return None
