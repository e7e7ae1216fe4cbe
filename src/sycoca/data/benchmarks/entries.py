"""What readers of benchmark files share: entries with their places, and fields that must be there."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from sycoca.data.benchmarks.records import CroppedImage, NamedImage
from sycoca.data.formats.image_files import ImageFiles, StoredImage
from sycoca.data.formats.row_values import as_name, as_text, shown
from sycoca.data.text_files import begins_with_list, read_any_json, read_text_lines
from sycoca.texts import has_surrogates, is_visible


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A JSON object of a file."""

    path: Path
    """The file."""

    place: str
    """Where it is in the file ("line 7")."""

    key: str
    """Its key, line or number in the file."""

    values: Mapping[str, Any]

    def text(self, name: str) -> str:
        """Return a field that holds words. Raises ValueError where it does not."""
        value = self.values.get(name)
        if not isinstance(value, str) or has_surrogates(value) or not is_visible(value):
            self.refuse(f'"{name}" must be a text that can be read, got {shown(value)}')
        return value

    def whole_number(self, name: str) -> int:
        """Return a field that holds a whole number, also one written as 3.0. Raises ValueError where it does not."""
        value = self.values.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or value != value // 1:
            self.refuse(f'"{name}" must be a whole number, got {shown(value)}')
        return int(value)

    def image(self, name: str, files: ImageFiles, default_suffix: str = "") -> NamedImage:
        """Return the image that a field names; ``default_suffix`` is appended to a name without one.

        Raises ValueError where the field names none, or the files lack it.
        """
        value = as_name(self.values.get(name))
        if value is None:
            self.refuse(f'"{name}" must be the name of an image file, got {shown(self.values.get(name))}')
        value = value if "." in value.rsplit("/", 1)[-1] else f"{value}{default_suffix}"
        if files.fingerprint(value) is None:
            self.refuse(f"there is no image {files.path_of(value)}; is --images right?")
        return NamedImage(name=value, open_image=StoredImage(files, value))

    def cropped(self, image: NamedImage) -> NamedImage:
        """Return the part of an image in the box of the fields "bbox_x", "bbox_y", "bbox_w" and "bbox_h"."""
        left, top, width, height = (self.whole_number(f"bbox_{name}") for name in "xywh")
        if width < 1 or height < 1:
            self.refuse(f'"bbox_w" and "bbox_h" must be at least 1, got {width} and {height}')
        box = (left, top, left + width, top + height)
        opener = CroppedImage(image.open_image, image.name, box)
        return NamedImage(name=f"{image.name}{list(box)}", open_image=opener)

    def optional_text(self, name: str) -> str | None:
        """Return a field as text; None where it is absent or empty."""
        return as_text(self.values.get(name)) or None

    def refuse(self, what: str) -> NoReturn:
        """Raise ValueError that says in which entry of which file something is wrong."""
        raise ValueError(f"{self.path}, {self.place}: {what}")


def json_entries(path: Path) -> Iterator[Entry]:
    """Yield the objects of a JSON list, or of an object that holds one per key; ValueError where it is neither."""
    data = read_any_json(path)
    if not isinstance(data, list | dict):
        raise ValueError(f"{path} must hold a list of entries or an object of them, got {shown(data)}")
    numbered = data.items() if isinstance(data, dict) else enumerate(data, start=1)
    for key, values in numbered:
        yield _entry(path, f"entry {key}", str(key), values)


def line_entries(path: Path) -> Iterator[Entry]:
    """Yield the objects of JSON Lines, or of one JSON list. Raises ValueError for a line or an entry that is none."""
    if begins_with_list(path):
        yield from json_entries(path)
        return
    for number, line in enumerate(read_text_lines(path), start=1):
        if line.isspace():
            continue
        try:
            values = json.loads(line)
        # Deeply nested brackets exhaust the stack.
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}, line {number} is not JSON: {error}") from error
        yield _entry(path, f"line {number}", str(number), values)


def _entry(path: Path, place: str, key: str, values: object) -> Entry:
    if not isinstance(values, dict):
        raise ValueError(f"{path}, {place}: expected an object of fields, got {shown(values)}")
    return Entry(path=path, place=place, key=key, values=values)
