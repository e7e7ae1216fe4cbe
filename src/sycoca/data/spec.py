"""Data SPECs: ``kind:path?option=value`` or a path whose kind is recognized, to a source."""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args
from urllib.parse import unquote

from sycoca.data.choices import check_choice
from sycoca.data.formats.coco import Restval, open_coco, open_karpathy
from sycoca.data.formats.hugging_face.source import open_hugging_face
from sycoca.data.formats.image_files import Names
from sycoca.data.formats.image_folder import open_folder
from sycoca.data.formats.jsonl import open_jsonl
from sycoca.data.formats.mixture import open_mixture, read_mixture
from sycoca.data.formats.rows import Columns, named_columns
from sycoca.data.formats.shards.remote.piece_cache import CacheOptions
from sycoca.data.formats.shards.source import open_shards
from sycoca.data.formats.tables import open_table
from sycoca.data.formats.vqa import open_vqa
from sycoca.data.samples import SampleSource, skipped_samples
from sycoca.data.scenes.content import Level, Split
from sycoca.data.scenes.source import DEFAULT_COUNT, ScenesSource
from sycoca.data.selection import Selection
from sycoca.data.table_rows import Quotes
from sycoca.file_names import existing
from sycoca.texts import normal_form

logger = logging.getLogger(__name__)

SourceKind = Literal["scenes", "jsonl", "csv", "tsv", "coco", "karpathy", "vqa", "folder", "shards", "hf", "mixture"]
"""Kinds of sources."""

_FILE_OPTIONS = ("images", "labels", "annotations")
"""Options that name what a source is read from."""

_COLUMNS = ("image", "caption", "captions", "generated", "question", "answer", "answers", "label", "split_column")

OPTIONS: dict[SourceKind, tuple[str, ...]] = {
    "scenes": ("level", "count", "seed", "split", "size", "distractors", "limit"),
    "jsonl": ("images", "names", "split", "limit", "seed", *_COLUMNS),
    "csv": ("images", "names", "split", "limit", "seed", "separator", "quotes", *_COLUMNS),
    "tsv": ("images", "names", "split", "limit", "seed", "separator", "quotes", *_COLUMNS),
    "coco": ("images", "names", "limit", "seed"),
    "karpathy": ("images", "names", "split", "restval", "limit", "seed"),
    "vqa": ("images", "names", "annotations", "name", "limit", "seed"),
    "folder": ("labels", "limit", "seed"),
    "shards": ("index", "cache", "cache_gb", "split", "limit", "seed", *(name for name in _COLUMNS if name != "image")),
    "hf": ("config", "split", "limit", "seed", *_COLUMNS),
    "mixture": (),
}
"""The options of each kind."""

_FOLDERS: frozenset[SourceKind] = frozenset({"folder"})
"""The kinds that are files of images and nothing else."""

# One letter before a colon is a Windows drive, not a kind.
_WITH_KIND = re.compile(r"([A-Za-z][A-Za-z0-9_+-]+):(.*)", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Spec:
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


def open_source(spec: str) -> SampleSource:
    """Open the source that a SPEC names, such as ``scenes:?level=easy`` or ``photos.jsonl?split=train``."""
    parsed = _parse(spec)
    source = _OPENERS[parsed.kind](parsed)
    logger.debug("%s: %d samples, %d left out", spec, len(source), len(skipped_samples(source)))
    return source


def place_of(spec: str) -> Path | None:
    """Return the file or folder that a SPEC names, of a pattern the folder; None where there is none on the disk."""
    path = existing(_parse(spec).path)
    if not path or "://" in path:
        return None
    return Path(path) if _is(Path.exists, path) else Path(path).parent


def places_of(spec: str) -> tuple[Path, ...]:
    """Return all files and folders that a SPEC names: also in options, and in a mixture's file."""
    parsed, place = _parse(spec), place_of(spec)
    options = [path for name in _FILE_OPTIONS if (path := parsed.file(name)) is not None]
    parts = [entry.data for entry in read_mixture(_file(parsed)).sources] if parsed.kind == "mixture" else []
    return (*([] if place is None else [place]), *options, *(path for part in parts for path in places_of(part)))


def is_folder(spec: str) -> bool:
    """Return whether a SPEC names a folder or zip file of images, whose names are those of files alone."""
    return _parse(spec).kind in _FOLDERS


def _open_jsonl(spec: _Spec) -> SampleSource:
    return open_jsonl(
        _file(spec), images=spec.file("images"), columns=_columns(spec), wanted=_wanted(spec), names=spec.names
    )


def _open_coco(spec: _Spec) -> SampleSource:
    return open_coco(_file(spec), images=spec.file("images"), wanted=_wanted(spec), names=spec.names)


def _open_folder(spec: _Spec) -> SampleSource:
    return open_folder(_folder(spec), labels=spec.file("labels"), wanted=_wanted(spec))


def _open_shards(spec: _Spec) -> SampleSource:
    return open_shards(
        spec.path,
        columns=_columns(spec),
        wanted=_wanted(spec),
        index=spec.file("index"),
        cache=CacheOptions(folder=spec.file("cache"), gigabytes=spec.number("cache_gb", 1)),
    )


def _open_hugging_face(spec: _Spec) -> SampleSource:
    config = spec.options.get("config")
    return open_hugging_face(spec.path, config=config, columns=_columns(spec), wanted=_wanted(spec))


def _open_scenes(spec: _Spec) -> ScenesSource:
    if spec.path:
        raise ValueError(f"{spec.text}: scenes are generated and have no path; write scenes:?level=easy&count=2000")
    given = {
        name: spec.number(name, least) for name, least in (("count", 1), ("seed", 0), ("size", 16), ("distractors", 0))
    }
    numbers = {name: value for name, value in given.items() if value is not None}
    limit = spec.number("limit", 1)
    if limit is not None:
        numbers["count"] = min(limit, numbers.get("count", DEFAULT_COUNT))
    return ScenesSource(
        level=cast(Level, spec.choice("level", get_args(Level))),
        split=cast(Split, spec.choice("split", get_args(Split))),
        **numbers,
    )


_SEPARATORS = {"csv": ",", "tsv": "\t"}
"""Default separator of columns, for the kinds that are tables."""


def _open_table(spec: _Spec) -> SampleSource:
    separator = spec.options.get("separator", _SEPARATORS[spec.kind])
    separator = "\t" if separator == "tab" else separator
    if len(separator) != 1 or separator in '\r\n" ':
        raise ValueError(f"{spec.text}: separator must be one character or tab, got {separator!r}")
    return open_table(
        _file(spec),
        separator=separator,
        quotes=cast(Quotes, spec.choice("quotes", get_args(Quotes))),
        images=spec.file("images"),
        columns=_columns(spec),
        wanted=_wanted(spec),
        names=spec.names,
    )


def _open_karpathy(spec: _Spec) -> SampleSource:
    restval = cast(Restval, spec.choice("restval", get_args(Restval)))
    return open_karpathy(
        _file(spec), images=spec.file("images"), restval=restval, wanted=_wanted(spec), names=spec.names
    )


def _open_vqa(spec: _Spec) -> SampleSource:
    return open_vqa(
        _file(spec),
        annotations=spec.file("annotations"),
        images=spec.file("images"),
        name=spec.options.get("name"),
        wanted=_wanted(spec),
        names=spec.names,
    )


_OPENERS: Mapping[SourceKind, Callable[[_Spec], SampleSource]] = {
    "scenes": _open_scenes,
    "jsonl": _open_jsonl,
    "csv": _open_table,
    "tsv": _open_table,
    "coco": _open_coco,
    "karpathy": _open_karpathy,
    "vqa": _open_vqa,
    "folder": _open_folder,
    "shards": _open_shards,
    "hf": _open_hugging_face,
    "mixture": lambda spec: open_mixture(_file(spec), open_source),
}
"""What opens a source of each kind."""


def _wanted(spec: _Spec) -> Selection:
    return Selection(split=spec.options.get("split"), limit=spec.number("limit", 1), seed=spec.number("seed", 0))


def _columns(spec: _Spec) -> Columns:
    named = {name: normal_form(value) for name, value in spec.options.items() if name in _COLUMNS}
    return named_columns({"split" if name == "split_column" else name: value for name, value in named.items()})


def _parse(spec: str) -> _Spec:
    place, _, query = spec.partition("?")
    found = _WITH_KIND.fullmatch(place)
    kind, path = (_check_kind(spec, found[1]), found[2]) if found else (_recognize(place), place)
    if not path and kind in _FOLDERS | {"shards"}:
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
    return _Spec(text=spec, kind=kind, path=path, options=options)


def _check_kind(spec: str, kind: str) -> SourceKind:
    check_choice(f"{spec}: kind", kind, get_args(SourceKind))
    return cast(SourceKind, kind)


def _recognize(path: str) -> SourceKind:
    kind = _kind_by_suffix(path)
    if kind is not None:
        return kind
    if not path or _is(Path.is_dir, existing(path)):
        return "folder"
    hint = ""
    if path.endswith((".json", ".json.gz")):
        hint = f"; JSON needs its kind in front: coco:{path}, karpathy:{path} or vqa:{path}"
    raise ValueError(
        f"{path!r} is no data source: expected a *.jsonl, *.csv, *.tsv, *.tar or *.parquet file, a folder (or zip file)"
        f" of class folders, or kind:path with kind one of {', '.join(get_args(SourceKind))}{hint}"
    )


def _kind_by_suffix(path: str) -> SourceKind | None:
    for kind in ("jsonl", "csv", "tsv"):
        if path.endswith((f".{kind}", f".{kind}.gz")):
            return kind
    if path.endswith(".tar"):
        return "shards"
    if path.endswith(".parquet"):
        return "hf"
    return "folder" if path.endswith(".zip") else None


def _file(spec: _Spec) -> Path:
    path = existing(spec.path)
    if not _is(Path.is_file, path):
        raise ValueError(f"there is no file {spec.path!r}")
    return Path(path)


def _folder(spec: _Spec) -> Path:
    path = existing(spec.path)
    is_there = _is(Path.is_dir, path) or (path.endswith(".zip") and _is(Path.is_file, path))
    if not is_there:
        raise ValueError(f"{spec.text}: there is no folder {spec.path!r}")
    return Path(path)


def _is(kind: Callable[[Path], bool], path: str) -> bool:
    """Return whether the path is that kind of file; impossible paths, for which pathlib raises OSError, are not."""
    try:
        return kind(Path(path))
    except (OSError, ValueError):
        return False
