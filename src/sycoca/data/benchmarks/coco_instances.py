"""Which objects an image shows, from COCO's instance annotations."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

from sycoca.data.formats.repeated_ids import entry_id, ids_of_several_images, repeated
from sycoca.data.formats.row_values import shown
from sycoca.data.text_files import read_json, read_list
from sycoca.data.writing.caption_results import known_name, name_forms
from sycoca.plain_data import did_you_mean


@final
@dataclass(frozen=True, slots=True)
class ImageObjects:
    """The categories of the objects in images, found by id or file name."""

    path: Path
    """The file."""

    categories: Mapping[str, frozenset[str]]
    """By id of the image; empty for one without annotated objects."""

    known: Mapping[str, str]
    """The id by everything that an image may be called."""

    def of(self, image: str) -> frozenset[str]:
        """Return the categories in an image. Raises ValueError for an image that the file does not list."""
        key = known_name(image, self.known)
        if key is None:
            raise ValueError(f"{self.path} lists no image {image}, so nobody knows which objects it shows")
        return self.categories[key]


def read_instances(path: Path, allowed: Collection[str]) -> ImageObjects:
    """Read {"images": [{"id", "file_name"}], "annotations": [{"image_id", "category_id"}], "categories": [{"id",
    "name"}]}.

    Raises ValueError that names the entry where one is wrong, and for a category that is not ``allowed``.
    """
    data = read_json(path)
    images = read_list(data, "images", path)
    for key, places in ids_of_several_images(images).items():
        raise ValueError(f"{path}: {repeated('id', key, 'images', places)}; give each image an id of its own")
    names = _category_names(data, path, allowed)
    categories: dict[str, set[str]] = {}
    known: dict[str, str] = {}
    for number, image in enumerate(images, start=1):
        key = entry_id(image, "id")
        if key is None:
            raise ValueError(
                f'{path}, image {number}: expected {{"id": number, "file_name": name}}, got {shown(image)}'
            )
        categories[str(key)] = set()
        known[str(key)] = str(key)
        if isinstance(name := image.get("file_name"), str):
            known |= {form: str(key) for form in name_forms([name]) if form not in known}
    for number, annotation in enumerate(read_list(data, "annotations", path), start=1):
        image, category = entry_id(annotation, "image_id"), entry_id(annotation, "category_id")
        if str(image) not in categories or category not in names:
            what = '"category_id" is not among the categories' if str(image) in categories else '"image_id" is no image'
            raise ValueError(f"{path}, annotation {number}: its {what}, got {shown(annotation)}")
        categories[str(image)].add(names[category])
    return ImageObjects(path, {key: frozenset(own) for key, own in categories.items()}, known)


def _category_names(data: dict[str, object], path: Path, allowed: Collection[str]) -> dict[int | str | None, str]:
    names: dict[int | str | None, str] = {}
    for number, entry in enumerate(read_list(data, "categories", path), start=1):
        key, name = entry_id(entry, "id"), entry.get("name") if isinstance(entry, Mapping) else None
        if key is None or not isinstance(name, str):
            raise ValueError(f'{path}, category {number}: expected {{"id": number, "name": text}}, got {shown(entry)}')
        if name not in allowed:
            raise ValueError(f"{path}, category {number}: {name!r} is none of COCO's 80{did_you_mean(name, allowed)}")
        names[key] = name
    return names
