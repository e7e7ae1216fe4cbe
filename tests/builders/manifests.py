"""Manifests of weights folders whose files a test has changed."""

from pathlib import Path

from sycoca.outputs.manifest import Manifest, flushed_entries
from sycoca.weights.config import MODEL_FILES


def renew_manifest(folder: Path) -> None:
    """Write the manifest of a weights folder anew, so that it fits the files as they are now."""
    names = [name for name in MODEL_FILES if (folder / name).exists()]
    Manifest(kind="weights", files=flushed_entries(folder, names)).write(folder)
