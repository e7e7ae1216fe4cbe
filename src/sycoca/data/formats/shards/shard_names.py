"""The shards that a SPEC means: one tar, a brace range of them, a glob pattern or a folder."""

import glob
import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path

from sycoca.facts.input_limits import InputLimitError, input_limit, stated_limit
from sycoca.file_names import existing, has_suffix

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_COMPRESSED = (".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz")


def shard_paths(text: str) -> Sequence[str]:
    """Return the paths of the tar files that a SPEC's path means, those of a brace range in its order.

    ``DIR/{00000..00099}.tar`` and ``DIR/{train,extra}.tar`` name every file, and each must exist; ``DIR/*.tar`` and
    a folder are the files that there are. Raises ValueError where there is none, or one is missing or compressed.
    """
    if not text:
        raise ValueError("shards: needs a path, as in shards:DIR/{00000..00099}.tar")
    if "{" in text or "}" in text:
        paths = _named(text)
    elif any(sign in text for sign in "*["):
        paths = sorted(path for path in glob.glob(text) if os.path.isfile(path))
        if not paths:
            raise ValueError(f"no file matches {text!r}; {_beside(text)}")
    elif os.path.isdir(folder := existing(text)):
        names = sorted(name for name in os.listdir(folder) if has_suffix(name, ".tar") and not name.startswith("."))
        paths = [path for name in names if os.path.isfile(path := os.path.join(folder, name))]
        if not paths:
            raise ValueError(f"{text} has no tar files; {_beside(os.path.join(folder, 'x'))}")
    else:
        paths = _named(text)
    return [_checked(path) for path in paths]


def expanded(text: str) -> list[str]:
    """Return what a text with braces stands for: ``{00..11}`` for numbers of as many digits, ``{a,b}`` for texts.

    Raises ValueError for braces that are not closed or stand for nothing, and for too many paths.
    """
    rest = _BRACES.sub("", text)
    if "{" in rest or "}" in rest:
        raise ValueError(f"{text!r}: a brace is opened and not closed, or the other way around; {_EXAMPLE}")
    choices = [_choices(braces, text) for braces in _BRACES.findall(text)]
    number = 1
    for one in choices:
        number *= len(one)
    if number > input_limit("shards"):
        raise InputLimitError(f"{text!r} names {number:,} files; {stated_limit('shards')}")
    literal = _BRACES.split(text)[::2]
    return [
        "".join(itertools.chain.from_iterable(zip(literal, [*chosen, ""], strict=True)))
        for chosen in itertools.product(*choices)
    ]


_EXAMPLE = "braces are a range of numbers, as in {00000..00099}, or a list, as in {train,extra}"


def _choices(braces: str, text: str) -> Sequence[str]:
    if found := _RANGE.fullmatch(braces):
        first, last = int(found[1][:18]), int(found[2][:18])
        if first > last:
            raise ValueError(f"{text!r}: the range {{{braces}}} ends before it begins")
        if last - first >= input_limit("shards"):
            raise InputLimitError(f"{text!r}: the range {{{braces}}} is too long; {stated_limit('shards')}")
        width = len(found[1]) if found[1].startswith("0") else 0
        return [f"{number:0{width}d}" for number in range(first, last + 1)]
    if "," not in braces or ".." in braces:
        raise ValueError(f"{text!r}: {{{braces}}} stands for nothing; {_EXAMPLE}")
    return braces.split(",")


def _named(text: str) -> list[str]:
    paths = [existing(path) for path in expanded(text)]
    if len(set(paths)) < len(paths):
        twice = next(path for number, path in enumerate(paths) if path in paths[:number])
        raise ValueError(f"{text!r} names {twice} twice")
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing:
        among = f" ({len(missing):,} of {len(paths):,} files are missing)" if len(paths) > 1 else ""
        raise ValueError(f"there is no file {missing[0]!r}{among}; {_beside(missing[0])}")
    return paths


def _checked(path: str) -> str:
    if has_suffix(path, *_COMPRESSED):
        raise ValueError(
            f"{path} is compressed, and samples of a compressed tar cannot be read in any order; unpack it to a plain"
            " tar first (images hardly compress)"
        )
    return path


def _beside(path: str) -> str:
    """Return what the folder of a path that matches nothing has instead."""
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        return f"there is no folder {folder!r}" if not any(sign in folder for sign in "*[{") else "check the folders"
    found = sorted(entry.name for entry in Path(folder).iterdir() if ".tar" in entry.name or ".tgz" in entry.name)
    if not found:
        return f"{'this folder' if folder == '.' else folder} has no tar files"
    ends = found[0] if len(found) == 1 else f"{found[0]} to {found[-1]}"
    return f"{folder} has {len(found):,} tar file{'' if len(found) == 1 else 's'}: {ends}"
