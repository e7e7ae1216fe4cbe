"""Captions in COCO's format and in Karpathy's, which has the splits that papers report."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, assert_never

from sycoca.data.formats.image_files import Names, open_image_files
from sycoca.data.formats.repeated_ids import (
    entry_id,
    ids_of_several_images,
    places_by_id,
    repeated,
    same_id_of_other_type,
    typed,
)
from sycoca.data.formats.row_source import RowSource, source_from_rows
from sycoca.data.formats.rows import Columns, Row
from sycoca.data.selection import EVERYTHING, Selection
from sycoca.data.text_files import read_json, read_list

Restval = Literal["train", "separate"]
"""Whether Karpathy's split "restval" is part of the training split, as in papers, or a split of its own."""

_RESTVAL = "restval"


def open_coco(
    path: Path, *, images: Path | None = None, wanted: Selection = EVERYTHING, names: Names = "anywhere"
) -> RowSource:
    """Open captions of COCO: {"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}."""
    files = open_image_files(path.parent if images is None else images, names)
    columns = Columns(image="file_name")
    return source_from_rows(
        path, _coco_rows(path), files, columns=columns, wanted=wanted, what="images", can_name_columns=False
    )


def open_karpathy(
    path: Path,
    *,
    images: Path | None = None,
    restval: Restval = "train",
    wanted: Selection = EVERYTHING,
    names: Names = "anywhere",
) -> RowSource:
    """Open {"images": [{"filepath", "filename", "split", "sentences": [{"raw"}]}]}; "filepath" is optional."""
    files = open_image_files(path.parent if images is None else images, names)
    columns = Columns(image="filename", captions="sentences")
    rows = _karpathy_rows(path, restval)
    return source_from_rows(path, rows, files, columns=columns, wanted=wanted, what="images", can_name_columns=False)


def _coco_rows(path: Path) -> Iterator[Row]:
    data = read_json(path)
    annotations = read_list(data, "annotations", path)
    images = read_list(data, "images", path)
    ambiguous = ids_of_several_images(images)
    places = places_by_id(annotations, "image_id")
    known = {entry_id(image, "id") for image in images}
    seen: set[int | str] = set()
    for i, image in enumerate(images):
        key = entry_id(image, "id")
        if key is None:
            yield Row(place=f"image {i + 1}", problem='expected {"id": number, "file_name": name}')
        elif key in ambiguous:
            yield Row(place=f"image {i + 1}", problem=_ambiguity(key, ambiguous[key], places.get(key, [])))
        elif key not in seen:
            seen.add(key)
            yield from _image_rows(i, image, places.get(key, []), annotations, _other_type(key, places))
    for j, annotation in enumerate(annotations):
        if entry_id(annotation, "image_id") not in known - {None}:
            yield Row(place=f"annotation {j + 1}", problem='its "image_id" is not among the images')


def _image_rows(
    i: int, image: Mapping[str, Any], own: Sequence[int], annotations: Sequence[Any], problem: str | None
) -> Iterator[Row]:
    """Yield one row per caption of an image; ``problem`` is what is wrong where it has none."""
    if not own:
        yield Row(place=f"image {i + 1}", image=image.get("file_name"), given=image, problem=problem)
    for j in own:
        annotation = annotations[j]
        yield Row(
            place=f"annotation {annotation.get('id', j + 1)}",
            image=image.get("file_name"),
            captions=[annotation.get("caption")],
            given=image,
        )


def _ambiguity(key: int | str, places: Sequence[int], captions: Sequence[int]) -> str:
    theirs = f"the {len(captions):,} captions of it" if len(captions) != 1 else "its caption"
    return (
        f"{repeated('id', key, 'images', places)}, so nobody knows which of them {theirs} belong"
        f"{'s' if len(captions) == 1 else ''} to; give each image an id of its own"
    )


def _other_type(key: int | str, places: Mapping[int | str, Sequence[int]]) -> str | None:
    """Return what is wrong with an id that captions have, too, but as a number where it is a text, or as a text."""
    other = same_id_of_other_type(key, places)
    if other is None:
        return None
    theirs = f'the "image_id" of {len(places[other]):,} captions is {typed(other)}'
    return f'its "id" is {typed(key)}, {theirs}; write them alike'


def _karpathy_rows(path: Path, restval: Restval) -> Iterator[Row]:
    for i, image in enumerate(read_list(read_json(path), "images", path)):
        place = f"image {i + 1}"
        sentences = image.get("sentences") if isinstance(image, Mapping) else None
        if not isinstance(image, Mapping) or not isinstance(sentences, list):
            yield Row(place=place, problem='expected {"filename", "split", "sentences": [{"raw"}]}')
            continue
        split = image.get("split")
        yield Row(
            place=place,
            image=_karpathy_name(image),
            captions=[entry.get("raw") if isinstance(entry, Mapping) else entry for entry in sentences],
            split=_split_of_restval(restval) if split == _RESTVAL else split,
            given=image,
        )


def _split_of_restval(restval: Restval) -> str:
    match restval:
        case "train":
            return "train"
        case "separate":
            return _RESTVAL
        case unknown:
            assert_never(unknown)


def _karpathy_name(image: Mapping[str, Any]) -> object:
    name, folder = image.get("filename"), image.get("filepath")
    return f"{folder}/{name}" if isinstance(name, str) and isinstance(folder, str) and folder else name
