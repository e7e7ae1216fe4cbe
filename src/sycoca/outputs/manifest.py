"""Manifests: ``manifest.json`` in a folder lists size and SHA-256 of its files, so that damage is found by name.

    {"format_version": 1, "kind": "checkpoint", "step": 1000,
     "files": {"model.safetensors": {"bytes": 1234, "sha256": "9f86d0..."}, ...}}

It is made for many writers: each makes the entries of its own files (`flushed_entries`), which are plain data that
processes can gather; one of them writes the manifest, last.
"""

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sycoca.outputs.atomic import atomic_folder, flush, grant_usual_rights

MANIFEST_NAME = "manifest.json"

FORMAT_VERSION = 1
"""Increases when manifests change in a way that older versions cannot read."""

ManifestKind = Literal["checkpoint", "weights", "shards"]

_NOUNS: Mapping[ManifestKind, str] = {
    "checkpoint": "a checkpoint",
    "weights": "a weights folder",
    "shards": "a folder of shards",
}

Entries = dict[str, dict[str, Any]]
"""Bytes and SHA-256 of files by name; of shards also their number of samples."""

Writer = Callable[[Path], Callable[[], str] | None]
"""Writes the file at a path; returns a function for its SHA-256 where it knows that without reading the file."""

_SHA256_DIGITS = 64

_is_comparing: ContextVar[bool] = ContextVar("is_comparing", default=True)
"""Whether folders are compared with their manifests."""


class DamageError(ValueError):
    """A folder differs from its manifest, or a file of it cannot be read."""

    def __init__(self, path: Path, damage: str, remedy: str = "") -> None:
        """Name the file or folder, what is wrong with it, and what to do."""
        super().__init__(f"{path} {damage}{remedy and f'; {remedy}'}")
        self.path = path
        self.damage = damage
        self.remedy = remedy


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a folder holds."""

    kind: ManifestKind
    """What the folder is."""

    files: Entries
    """Bytes and SHA-256 of each file by name."""

    step: int | None = None
    """The optimizer updates after which a checkpoint was written."""

    made_from: Mapping[str, Any] | None = None
    """The data and settings from which shards were written."""

    @property
    def text(self) -> str:
        """The content of ``manifest.json``."""
        own = {"step": self.step, "made_from": self.made_from}
        given = {name: value for name, value in own.items() if value is not None}
        files = dict(sorted(self.files.items()))
        plain = {"format_version": FORMAT_VERSION, "kind": self.kind, **given, "files": files}
        return json.dumps(plain, indent=2) + "\n"

    def write(self, folder: Path) -> None:
        """Write ``manifest.json``."""
        (folder / MANIFEST_NAME).write_text(self.text, encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read ``manifest.json``; raises DamageError where it is missing, unreadable or of a newer format."""
        path = folder / MANIFEST_NAME
        plain = read_sound_json(path)
        version = plain.get("format_version") if isinstance(plain, dict) else None
        if type(version) is int and version > FORMAT_VERSION:
            raise DamageError(path, f"has format {version}, this version reads up to {FORMAT_VERSION}", "update sycoca")
        if not _is_manifest(plain):
            raise DamageError(path, "is not a manifest")
        return cls(kind=plain["kind"], step=plain.get("step"), made_from=plain.get("made_from"), files=plain["files"])


@contextmanager
def folder_with_manifest(folder: Path, kind: ManifestKind, names: Collection[str]) -> Iterator[Path]:
    """Yield an empty folder to write into, as `atomic_folder` does, which also gets a manifest.

    It lists those of the files ``names`` that exist. All files and the manifest reach the disk before the folder has
    its name.
    """
    with atomic_folder(folder) as unfinished:
        yield unfinished
        listed = [path.name for path in unfinished.iterdir() if path.name in names]
        Manifest(kind=kind, files=flushed_entries(unfinished, listed)).write(unfinished)


def written_entries(folder: Path, files: Mapping[str, Writer]) -> Entries:
    """Write files, all at once, flush them to disk, and return their entries for a manifest.

    Args:
        folder: the folder that exists.
        files: the writer of each file by its name.
    """

    def write(name: str) -> dict[str, Any]:
        path = folder / name
        sha256 = files[name](path)
        grant_usual_rights(path)
        flushed = flushing.submit(flush, path)
        entry = file_entry(path) if sha256 is None else {"bytes": path.stat().st_size, "sha256": sha256()}
        flushed.result()
        return entry

    # Writing, hashing and flushing of large files do not hold Python's lock.
    with ThreadPoolExecutor(len(files)) as flushing, ThreadPoolExecutor(len(files)) as writing:
        return dict(zip(files, writing.map(write, files), strict=True))


def flushed_entries(folder: Path, names: Collection[str]) -> Entries:
    """Flush files that are there to disk, and return their entries for a manifest."""
    return written_entries(folder, dict.fromkeys(sorted(names), _leave))


@contextmanager
def verification(is_on: bool) -> Iterator[None]:
    """Context in which folders are compared with their manifests, or are not."""
    token = _is_comparing.set(is_on)
    try:
        yield
    finally:
        _is_comparing.reset(token)


def is_verification_on() -> bool:
    """Return whether folders are compared with their manifests, as they are outside of `verification`."""
    return _is_comparing.get()


def check_manifest(
    folder: Path,
    kind: ManifestKind,
    names: Collection[str],
    *,
    step: int | None = None,
    includes_others: bool = True,
) -> None:
    """Raise DamageError where a folder is not what its manifest says.

    Args:
        folder: the folder, which has a manifest.
        kind: what the folder is.
        names: the files that are read where they exist; one of them that the manifest does not list is a damage.
        step: the step of a checkpoint.
        includes_others: whether other files that the manifest lists are compared, too.
    """
    manifest = Manifest.read(folder)
    path = folder / MANIFEST_NAME
    if manifest.kind != kind:
        raise DamageError(path, f"is that of {_NOUNS[manifest.kind]}, not of {_NOUNS[kind]}", f"name {_NOUNS[kind]}")
    if manifest.step != step:
        raise DamageError(path, f"is that of step {manifest.step}, not of step {step}")
    for name in names:
        if name not in manifest.files and (folder / name).exists():
            raise DamageError(folder / name, f"is not listed in {MANIFEST_NAME}")
    for name, entry in manifest.files.items():
        if includes_others or name in names:
            _check_file(folder / name, entry)


def read_sound_json(path: Path) -> Any:
    """Return the content of a JSON file; raises DamageError where it is missing, emptied, unreadable or not JSON."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DamageError(path, "is missing") from error
    except OSError as error:
        raise DamageError(path, f"cannot be read: {error.strerror}") from error
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:  # no JSON, or no UTF-8
        raise DamageError(path, "is not JSON" if data else "is emptied") from error


def _is_manifest(plain: object) -> bool:
    match plain:
        case {"format_version": 1, "kind": "checkpoint", "step": int(), "files": dict() as files}:
            return all(map(_is_entry, files.items()))
        case {"format_version": 1, "kind": "weights", "files": dict() as files, **others}:
            return "step" not in others and all(map(_is_entry, files.items()))
        case {"format_version": 1, "kind": "shards", "made_from": dict(), "files": dict() as files}:
            return all(map(_is_entry, files.items()))
        case _:
            return False


def _is_entry(item: tuple[str, object]) -> bool:
    match item:
        case (name, {"bytes": int(), "sha256": str() as digest}):
            # A name that leads out of the folder would have other files read.
            return os.path.basename(name) == name and len(digest) == _SHA256_DIGITS
        case _:
            return False


def _leave(_: Path) -> None:
    """Write nothing: the file is there."""


def file_entry(path: Path) -> dict[str, Any]:
    """Return the entry of a file for a manifest: its size and its SHA-256."""
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _check_file(path: Path, entry: Mapping[str, Any]) -> None:
    try:
        size = path.stat().st_size
        if size == entry["bytes"] and file_entry(path)["sha256"] != entry["sha256"]:
            raise DamageError(path, f"differs from its SHA-256 in {MANIFEST_NAME}")
    except FileNotFoundError as error:
        raise DamageError(path, "is missing") from error
    except OSError as error:
        raise DamageError(path, f"cannot be read: {error.strerror}") from error
    if size != entry["bytes"]:
        raise DamageError(path, _size_damage(size, entry["bytes"]))


def _size_damage(size: int, expected: int) -> str:
    if size == 0:
        return "is emptied"
    return (
        f"is truncated: {size:,} of {expected:,} bytes"
        if size < expected
        else f"has {size - expected:,} bytes too many"
    )
