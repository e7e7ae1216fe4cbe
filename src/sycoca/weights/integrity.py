"""Integrity of weights folders: their files are compared with ``manifest.json`` before anything is used.

Folders of formats 1 to 3 have none, and damage that leaves their structure intact is not found. Imports no torch.
"""

import shlex
from collections.abc import Collection
from pathlib import Path

from sycoca.outputs.manifest import (
    MANIFEST_NAME,
    DamageError,
    check_manifest,
    is_verification_on,
)
from sycoca.texts import read_small_json
from sycoca.weights.config import CONFIG_NAME, READ_FILES

_FIRST_FORMAT_WITH_MANIFEST = 4


def check_integrity(folder: Path, names: Collection[str] = READ_FILES, *, includes_others: bool = True) -> None:
    """Raise DamageError where a weights folder is not what its manifest says; do nothing while verification is off.

    ``names`` are the files that will be read, ``includes_others`` says whether the others are compared too.
    """
    if not is_verification_on():
        return
    try:
        if (folder / MANIFEST_NAME).exists():
            check_manifest(folder, "weights", names, includes_others=includes_others)
        elif _format_of(folder) >= _FIRST_FORMAT_WITH_MANIFEST:
            raise DamageError(folder / MANIFEST_NAME, "is missing")
    except DamageError as error:
        raise DamageError(error.path, error.damage, error.remedy or _remedy(folder, error.path)) from error


def _format_of(folder: Path) -> int:
    """Return the format of a folder, 0 where its config cannot be read: whoever reads it says why."""
    try:
        plain = read_small_json(folder / CONFIG_NAME)
    except (OSError, ValueError):
        return 0
    version = plain.get("format_version") if isinstance(plain, dict) else None
    return version if type(version) is int else 0


def _remedy(folder: Path, path: Path) -> str:
    again = _again(folder)
    if path.name != MANIFEST_NAME and not path.exists():
        return again
    return f"{again}, or load it as it is with --no-verify (in Python verify=False){_renewal(folder)}"


def _again(folder: Path) -> str:
    if _is_cached(folder):
        return f"delete {folder.parent.parent}, then it is fetched again"
    return "copy the whole folder again"


def _renewal(folder: Path) -> str:
    if _is_cached(folder):
        return ""
    return f"; after an edit on purpose: sycoca verify {shlex.quote(str(folder))} --renew"


def _is_cached(folder: Path) -> bool:
    """Return whether a folder lies in the Hugging Face Hub's cache."""
    return folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--")
