"""The text of a SPEC, such as ``photos.jsonl?split=train``, and its parts. Opens no source."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args
from urllib.parse import unquote

from sycoca.data.choices import check_choice
from sycoca.data.formats.image_files import Names
from sycoca.file_names import existing, has_suffix

SourceKind = Literal["scenes", "jsonl", "csv", "tsv", "coco", "karpathy", "vqa", "folder", "shards", "hf", "mixture"]
"""Kinds of sources."""

COLUMN_OPTIONS = ("image", "caption", "captions", "generated", "question", "answer", "answers", "label", "split_column")
"""Options that name the columns or fields of rows."""

_OF_SHARDS = tuple(name for name in COLUMN_OPTIONS if name != "image")

OPTIONS: dict[SourceKind, tuple[str, ...]] = {
    "scenes": ("level", "count", "seed", "split", "size", "distractors", "limit"),
    "jsonl": ("images", "names", "split", "limit", "seed", *COLUMN_OPTIONS),
    "csv": ("images", "names", "split", "limit", "seed", "separator", "quotes", *COLUMN_OPTIONS),
    "tsv": ("images", "names", "split", "limit", "seed", "separator", "quotes", *COLUMN_OPTIONS),
    "coco": ("images", "names", "limit", "seed"),
    "karpathy": ("images", "names", "split", "restval", "limit", "seed"),
    "vqa": ("images", "names", "annotations", "name", "limit", "seed"),
    "folder": ("labels", "limit", "seed"),
    "shards": ("index", "cache", "cache_gb", "split", "limit", "seed", *_OF_SHARDS),
    "hf": ("config", "split", "limit", "seed", *COLUMN_OPTIONS),
    "mixture": (),
}
"""The options of each kind."""

FOLDER_KINDS: frozenset[SourceKind] = frozenset({"folder"})
"""The kinds that are files of images and nothing else."""

LISTING_KINDS: frozenset[SourceKind] = frozenset({"mixture"})
"""The kinds that are files of other SPECs."""

_TAKES_FOLDERS: frozenset[SourceKind] = frozenset({"folder", "shards"})
"""The kinds whose path may be a folder, so that an empty one would be the working folder."""

# One letter before a colon is a Windows drive, not a kind.
_WITH_KIND = re.compile(r"([A-Za-z][A-Za-z0-9_+-]+):(.*)", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedSpec:
    """A parsed SPEC."""

    text: str
    kind: SourceKind
    path: str
    options: dict[str, str]

    def number(self, option: str, least: int) -> int | None:
        """Return the integer value of an option; None where it is not given."""
        value = self.options.get(option)
        if value is None:
            return None
        if not re.fullmatch(r"-?\d+", value) or int(value) < least:
            raise ValueError(f"{self.text}: {option} must be a whole number of at least {least}, got {value!r}")
        return int(value)

    def file(self, option: str) -> Path | None:
        """Return the path that an option names; None where it is not given."""
        value = self.options.get(option)
        return None if value is None else Path(existing(value))

    @property
    def names(self) -> Names:
        """Where the images are that the file may name."""
        return cast(Names, self.choice("names", get_args(Names)))

    def choice(self, option: str, allowed: tuple[str, ...]) -> str:
        """Return the value of an option with a closed set of values; the first where it is not given."""
        value = self.options.get(option, allowed[0])
        check_choice(f"{self.text}: {option}", value, allowed)
        return value


def parse_spec(spec: str) -> ParsedSpec:
    """Return the parts of a SPEC. Raises ValueError for an unknown kind or option, and for one without value."""
    place, _, query = spec.partition("?")
    found = _WITH_KIND.fullmatch(place)
    kind, path = (_check_kind(spec, found[1]), found[2]) if found else (_recognize(place), place)
    if not path and kind in _TAKES_FOLDERS:
        raise ValueError(f"{spec!r} names no path; the working folder is .")
    options = {}
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
        if not OPTIONS[kind]:
            raise ValueError(f"{spec}: {kind} has no options; give {name} to the sources in its file")
        check_choice(f"{spec}: an option of {kind}", name, OPTIONS[kind])
        if not equals or not value:
            raise ValueError(f"{spec}: option {name} needs a value, as in ?{name}=VALUE")
        if name in options:
            raise ValueError(f"{spec}: option {name} is given twice")
        options[name] = unquote(value)
    return ParsedSpec(text=spec, kind=kind, path=path, options=options)


def _check_kind(spec: str, kind: str) -> SourceKind:
    check_choice(f"{spec}: kind", kind, get_args(SourceKind))
    return cast(SourceKind, kind)


def _recognize(path: str) -> SourceKind:
    kind = _kind_by_suffix(path)
    if kind is not None:
        return kind
    if not path or is_path(Path.is_dir, existing(path)):
        return "folder"
    hint = ""
    if has_suffix(path, ".json", ".json.gz"):
        kinds = ", ".join(f"{kind}:{path}" for kind in ("coco", "karpathy", "vqa"))
        hint = f'; JSON needs its kind in front: {kinds}, or jsonl:{path} for a list of {{"image", "caption"}}'
    raise ValueError(
        f"{path!r} is no data source: expected a *.jsonl, *.csv, *.tsv, *.tar or *.parquet file, a folder (or zip file)"
        f" of class folders, or kind:path with kind one of {', '.join(get_args(SourceKind))}{hint}"
    )


def _kind_by_suffix(path: str) -> SourceKind | None:
    for kind in ("jsonl", "csv", "tsv"):
        if has_suffix(path, f".{kind}", f".{kind}.gz"):
            return kind
    if has_suffix(path, ".tar"):
        return "shards"
    if has_suffix(path, ".parquet"):
        return "hf"
    return "folder" if has_suffix(path, ".zip") else None


def is_path(kind: Callable[[Path], bool], path: str) -> bool:
    """Return whether the path is that kind of file; impossible paths, for which pathlib raises OSError, are not."""
    try:
        return kind(Path(path))
    except (OSError, ValueError):
        return False
