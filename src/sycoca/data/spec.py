"""Data SPECs: ``kind:path?option=value`` or a path whose kind is recognized, to a source."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, assert_never, cast, get_args
from urllib.parse import unquote

from sycoca.data.choices import check_choice
from sycoca.data.image_folder import FolderSource
from sycoca.data.jsonl import JsonlSource
from sycoca.data.samples import SampleSource
from sycoca.data.scenes import DEFAULT_COUNT, ScenesSource
from sycoca.data.scenes_content import Level, Split

SourceKind = Literal["scenes", "jsonl", "folder"]
"""What sources there are."""

OPTIONS: dict[SourceKind, tuple[str, ...]] = {
    "scenes": ("level", "count", "seed", "split", "size", "limit"),
    "jsonl": ("images", "split", "limit", "seed"),
    "folder": ("limit", "seed"),
}
"""The options of each kind."""

# One letter before a colon is a Windows drive, not a kind.
_WITH_KIND = re.compile(r"([A-Za-z][A-Za-z0-9_+-]+):(.*)", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Spec:
    """A SPEC taken apart."""

    text: str
    kind: SourceKind
    path: str
    options: dict[str, str]

    def number(self, option: str, least: int) -> int | None:
        """Return an option's whole number; None where it is not given."""
        value = self.options.get(option)
        if value is None:
            return None
        if not re.fullmatch(r"-?\d+", value) or int(value) < least:
            raise ValueError(f"{self.text}: {option} must be a whole number of at least {least}, got {value!r}")
        return int(value)

    def choice(self, option: str, allowed: tuple[str, ...]) -> str:
        """Return one of a closed set, the first where the option is not given."""
        value = self.options.get(option, allowed[0])
        check_choice(f"{self.text}: {option}", value, allowed)
        return value


def open_source(spec: str) -> SampleSource:
    """Open the source that a SPEC names, such as ``scenes:?level=easy`` or ``photos.jsonl?split=train``."""
    parsed = _parse(spec)
    match parsed.kind:
        case "scenes":
            return _open_scenes(parsed)
        case "jsonl":
            images = parsed.options.get("images")
            return JsonlSource(
                _existing(parsed, Path.is_file, "file"),
                images=None if images is None else Path(images),
                split=parsed.options.get("split"),
                limit=parsed.number("limit", 1),
                seed=parsed.number("seed", 0),
            )
        case "folder":
            folder = _existing(parsed, Path.is_dir, "folder")
            return FolderSource(folder, limit=parsed.number("limit", 1), seed=parsed.number("seed", 0))
        case unknown:
            assert_never(unknown)


def _open_scenes(spec: _Spec) -> ScenesSource:
    if spec.path:
        raise ValueError(f"{spec.text}: scenes are generated and have no path; write scenes:?level=easy&count=2000")
    given = {name: spec.number(name, least) for name, least in (("count", 1), ("seed", 0), ("size", 16))}
    numbers = {name: value for name, value in given.items() if value is not None}
    limit = spec.number("limit", 1)
    if limit is not None:
        numbers["count"] = min(limit, numbers.get("count", DEFAULT_COUNT))
    return ScenesSource(
        level=cast(Level, spec.choice("level", get_args(Level))),
        split=cast(Split, spec.choice("split", get_args(Split))),
        **numbers,
    )


def _parse(spec: str) -> _Spec:
    place, _, query = spec.partition("?")
    found = _WITH_KIND.fullmatch(place)
    kind, path = (_check_kind(spec, found[1]), found[2]) if found else (_recognize(place), place)
    options = {}
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
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
    if path.endswith((".jsonl", ".jsonl.gz")):
        return "jsonl"
    if Path(path).is_dir():
        return "folder"
    raise ValueError(
        f"{path!r} is no data source: expected a *.jsonl file, a folder of class folders, or kind:path with"
        f" kind one of {', '.join(get_args(SourceKind))}"
    )


def _existing(spec: _Spec, exists: Callable[[Path], bool], what: str) -> Path:
    path = Path(spec.path)
    if not exists(path):
        raise ValueError(f"{spec.text}: there is no {what} {spec.path!r}")
    return path
