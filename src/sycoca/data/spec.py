"""Data SPECs: ``kind:path?option=value`` or a path whose kind is recognized, to a source."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast, get_args

from sycoca.data.formats.coco import Restval, open_coco, open_karpathy
from sycoca.data.formats.hugging_face.source import open_hugging_face
from sycoca.data.formats.image_folder import open_folder
from sycoca.data.formats.jsonl import open_jsonl
from sycoca.data.formats.mixture import open_mixture, read_mixture
from sycoca.data.formats.rows import Columns, named_columns
from sycoca.data.formats.shards.remote.piece_cache import CacheOptions
from sycoca.data.formats.shards.source import open_shards
from sycoca.data.formats.tables import TAB_NAME, open_table
from sycoca.data.formats.vqa import open_vqa
from sycoca.data.parsed_spec import (
    COLUMN_OPTIONS,
    FOLDER_KINDS,
    LISTING_KINDS,
    ParsedSpec,
    SourceKind,
    is_path,
    parse_spec,
)
from sycoca.data.samples import SampleSource, skipped_samples
from sycoca.data.scenes.content import Level, Split
from sycoca.data.scenes.source import DEFAULT_COUNT, ScenesSource
from sycoca.data.selection import Selection
from sycoca.data.table_rows import Quotes
from sycoca.file_names import existing, has_suffix
from sycoca.texts import normal_form

logger = logging.getLogger(__name__)

_FILE_OPTIONS = ("images", "labels", "annotations")
"""Options that name what a source is read from."""


def open_source(spec: str) -> SampleSource:
    """Open the source that a SPEC names, such as ``scenes:?level=easy`` or ``photos.jsonl?split=train``."""
    parsed = parse_spec(spec)
    source = _OPENERS[parsed.kind](parsed)
    logger.debug("%s: %d samples, %d left out", spec, len(source), len(skipped_samples(source)))
    return source


def place_of(spec: str) -> Path | None:
    """Return the file or folder that a SPEC names, of a pattern the folder; None where there is none on the disk."""
    path = existing(parse_spec(spec).path)
    if not path or "://" in path:
        return None
    return Path(path) if is_path(Path.exists, path) else Path(path).parent


def places_of(spec: str) -> tuple[Path, ...]:
    """Return all files and folders that a SPEC names: also in options, and in a mixture's file."""
    parsed, place = parse_spec(spec), place_of(spec)
    options = [path for name in _FILE_OPTIONS if (path := parsed.file(name)) is not None]
    parts = [entry.data for entry in read_mixture(_file(parsed)).sources] if parsed.kind in LISTING_KINDS else []
    return (*([] if place is None else [place]), *options, *(path for part in parts for path in places_of(part)))


def is_folder(spec: str) -> bool:
    """Return whether a SPEC names a folder or zip file of images, whose names are those of files alone."""
    return parse_spec(spec).kind in FOLDER_KINDS


def _open_jsonl(spec: ParsedSpec) -> SampleSource:
    return open_jsonl(
        _file(spec), images=spec.file("images"), columns=_columns(spec), wanted=_wanted(spec), names=spec.names
    )


def _open_coco(spec: ParsedSpec) -> SampleSource:
    return open_coco(_file(spec), images=spec.file("images"), wanted=_wanted(spec), names=spec.names)


def _open_folder(spec: ParsedSpec) -> SampleSource:
    return open_folder(_folder(spec), labels=spec.file("labels"), wanted=_wanted(spec))


def _open_shards(spec: ParsedSpec) -> SampleSource:
    return open_shards(
        spec.path,
        columns=_columns(spec),
        wanted=_wanted(spec),
        index=spec.file("index"),
        cache=CacheOptions(folder=spec.file("cache"), gigabytes=spec.number("cache_gb", 1)),
    )


def _open_hugging_face(spec: ParsedSpec) -> SampleSource:
    config = spec.options.get("config")
    return open_hugging_face(spec.path, config=config, columns=_columns(spec), wanted=_wanted(spec))


def _open_scenes(spec: ParsedSpec) -> ScenesSource:
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


def _open_table(spec: ParsedSpec) -> SampleSource:
    separator = spec.options.get("separator", _SEPARATORS[spec.kind])
    separator = "\t" if separator == TAB_NAME else separator
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


def _open_karpathy(spec: ParsedSpec) -> SampleSource:
    restval = cast(Restval, spec.choice("restval", get_args(Restval)))
    return open_karpathy(
        _file(spec), images=spec.file("images"), restval=restval, wanted=_wanted(spec), names=spec.names
    )


def _open_vqa(spec: ParsedSpec) -> SampleSource:
    return open_vqa(
        _file(spec),
        annotations=spec.file("annotations"),
        images=spec.file("images"),
        name=spec.options.get("name"),
        wanted=_wanted(spec),
        names=spec.names,
    )


_OPENERS: Mapping[SourceKind, Callable[[ParsedSpec], SampleSource]] = {
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


def _wanted(spec: ParsedSpec) -> Selection:
    return Selection(split=spec.options.get("split"), limit=spec.number("limit", 1), seed=spec.number("seed", 0))


def _columns(spec: ParsedSpec) -> Columns:
    named = {name: normal_form(value) for name, value in spec.options.items() if name in COLUMN_OPTIONS}
    return named_columns({"split" if name == "split_column" else name: value for name, value in named.items()})


def _file(spec: ParsedSpec) -> Path:
    path = existing(spec.path)
    if not is_path(Path.is_file, path):
        raise ValueError(f"there is no file {spec.path!r}")
    return Path(path)


def _folder(spec: ParsedSpec) -> Path:
    path = existing(spec.path)
    is_there = is_path(Path.is_dir, path) or (has_suffix(path, ".zip") and is_path(Path.is_file, path))
    if not is_there:
        raise ValueError(f"{spec.text}: there is no folder {spec.path!r}")
    return Path(path)
