"""Damages of files and folders, as full disks, power failures, copying by hand and bad memory leave them."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path], None]


def remove(path: Path) -> None:
    """Delete a file or folder."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def empty(path: Path) -> None:
    """Leave nothing of a file's content."""
    path.write_bytes(b"")


def truncate(path: Path) -> None:
    """Cut a file's last bytes."""
    path.write_bytes(path.read_bytes()[:-7])


def halve(path: Path) -> None:
    """Cut a file in its middle."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def zero(path: Path) -> None:
    """Replace every byte by NUL: the length has reached the disk, the content has not."""
    path.write_bytes(bytes(path.stat().st_size if path.exists() else 4096))


def zero_end(path: Path) -> None:
    """Append NUL bytes."""
    with path.open("ab") as file:
        file.write(bytes(4096))


def make_folder(path: Path) -> None:
    """Put a folder in a file's place."""
    path.unlink(missing_ok=True)
    path.mkdir()


def make_file(path: Path) -> None:
    """Put a file in a folder's place."""
    shutil.rmtree(path, ignore_errors=True)
    path.write_text("not a folder\n")


def flip(position: float) -> Damage:
    """Return the damage of one bit at a fraction of a file's length."""

    def flipped(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[round(position * (len(data) - 1))] ^= 4
        path.write_bytes(data)

    flipped.__name__ = f"flip_{position:g}"
    return flipped


def flip_in_key(position: float) -> Damage:
    """Return the damage of one bit in a key of a YAML file, at a fraction of its lines."""

    def flipped(path: Path) -> None:
        data = path.read_bytes()
        keys = [match.start(1) for match in re.finditer(rb"^ *([a-z]\w*):", data, re.MULTILINE)]
        changed = bytearray(data)
        changed[keys[round(position * (len(keys) - 1))]] ^= 4
        path.write_bytes(changed)

    flipped.__name__ = f"flip_in_key_{position:g}"
    return flipped


def endless(path: Path) -> None:
    """Append a line of 40 MB without end."""
    with path.open("ab") as file:
        file.write(b"[" * 40_000_000)


def prepend(name: str, data: bytes) -> Damage:
    """Return the damage of foreign bytes at a file's beginning."""

    def prepended(path: Path) -> None:
        path.write_bytes(data + path.read_bytes())

    prepended.__name__ = f"prepend {name}"
    return prepended


def append_foreign(name: str, data: bytes) -> Damage:
    """Return the damage of foreign bytes at a file's end."""

    def appended(path: Path) -> None:
        with path.open("ab") as file:
            file.write(data)

    appended.__name__ = f"append {name}"
    return appended
