"""Files of generated and reference captions: COCO's result and annotation formats, objects by image, and JSON Lines."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from sycoca.data.formats.repeated_ids import entry_id, ids_of_several_images, repeated
from sycoca.data.samples import SampleSource
from sycoca.data.text_files import read_json, read_json_text, read_list
from sycoca.file_names import meant_name
from sycoca.plain_data import closest, write_text

CaptionFormat = Literal["jsonl", "coco"]
"""Lines of {"image", "caption", "log_likelihood"}, or COCO's result format [{"image_id", "caption"}]."""

_COCO_NAME = re.compile(r"(?:.*[/_])?(\d{12})\.\w+")
"""COCO's file names carry the image's id: 000000397133.jpg, COCO_val2014_000000000042.jpg."""


def image_id(name: str) -> int | str:
    """Return the image id of COCO's result format: the number in COCO's own file names, else the name."""
    found = _COCO_NAME.fullmatch(name)
    return int(found[1]) if found else name


def write_caption_results(path: Path, names: Sequence[str], captions: Sequence[str]) -> None:
    """Write [{"image_id", "caption"}] atomically; see `image_id`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"image_id": image_id(name), "caption": caption}, ensure_ascii=False)
        for name, caption in zip(names, captions, strict=True)
    ]
    write_text(path, "[" + ",\n".join(lines) + "]\n")


def read_caption_results(path: Path) -> dict[str, str]:
    """Return captions by image id: from a list of {"image_id", "caption"}, lines of {"image", "caption"}, or an object.

    An object has a caption, or a list of one, per image, as candidates of CLIPScore and pycocoevalcap have. Raises
    ValueError where the file is none of these, a caption is no text, and an image has two.
    """
    captions: dict[str, str] = {}
    for number, entry in enumerate(_entries(path), start=1):
        where = f"{path}, caption {number}"
        key, caption = _result(entry, where)
        if key in captions:
            raise ValueError(f"{where}: image {key} has another caption already")
        captions[key] = caption
    if not captions:
        raise ValueError(f"{path} holds no captions")
    return captions


def read_coco_references(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the captions by image id from COCO's annotation file; images without captions are left out.

    The file may also be an object with the captions of each image, as references of CLIPScore and pycocoevalcap are.
    Raises ValueError where the file is neither, and for a caption without image or text.
    """
    found: dict[str, list[str]] = {}
    data = read_json(path)
    if data and "annotations" not in data and "images" not in data:
        return {key: _texts(own, f"{path}, image {key}") for key, own in data.items()}
    images = data.get("images")
    for key, places in ids_of_several_images(images if isinstance(images, list) else []).items():
        raise ValueError(f"{path}: {repeated('id', key, 'images', places)}; give each image an id of its own")
    for number, entry in enumerate(read_list(data, "annotations", path), start=1):
        caption = entry.get("caption") if isinstance(entry, Mapping) else None
        key = entry_id(entry, "image_id")
        if key is None or not isinstance(caption, str):
            raise ValueError(f'{path}, annotation {number}: expected {{"image_id": id, "caption": text}}')
        found.setdefault(str(key), []).append(caption)
    if not found:
        raise ValueError(f"{path} holds no captions")
    return {key: tuple(own) for key, own in found.items()}


def source_references(source: SampleSource, num_samples: int) -> dict[str, tuple[str, ...]]:
    """Return the captions of the first samples by key. Raises ValueError for one without captions."""
    references = {}
    for index in range(num_samples):
        sample = source[index]
        if not sample.captions:
            raise ValueError(f"{source.name}: {sample.key} has no caption to compare with")
        references[sample.key] = sample.captions
    return references


def captions_by_reference(
    predictions: Mapping[str, str], references: Mapping[str, Sequence[str]], *, only_predicted: bool = False
) -> dict[str, str]:
    """Return the caption of every image that has references, in their order.

    Ids are compared as text; an image may also be called by the number in its COCO file name. Raises ValueError for
    captions of unknown images, and, unless ``only_predicted``, for images without caption.
    """
    known = name_forms(references)
    by_name: dict[str, str] = {}
    for key, caption in predictions.items():
        name = known_name(key, known)
        if name is None:
            raise ValueError(_unknown(key, [one for one in predictions if one not in known], list(known)))
        if name in by_name:
            raise ValueError(f"image {name} has two captions, one as {key}")
        by_name[name] = caption
    missing = [name for name in references if name not in by_name]
    if missing and not only_predicted:
        raise ValueError(
            f"{len(missing):,} of {len(references):,} images with references have no caption, such as {missing[0]}; "
            "caption them, or score the others alone with --only-predicted"
        )
    return {name: by_name[name] for name in references if name in by_name}


def name_forms(names: Iterable[str]) -> dict[str, str]:
    """Return images' names by everything that they may be called; see `known_name`."""
    known = {name: name for name in names}
    for name in list(known):
        known.setdefault(str(image_id(name)), name)
        known.setdefault(meant_name(name), name)
    return known


def known_name(key: str, known: Mapping[str, str]) -> str | None:
    """Return the name, among `name_forms`, of the image that a file calls ``key``; None where there is none."""
    return next((known[form] for form in (key, str(image_id(key)), meant_name(key)) if form in known), None)


def _unknown(key: str, unknown: Sequence[str], known: Sequence[str]) -> str:
    similar = closest(key, known)
    hint = f"did you mean {similar}?" if similar else f"those with references are called like {known[0]}"
    others = f", and so are {len(unknown) - 1:,} others" if len(unknown) > 1 else ""
    return f"a caption is for image {key}, which has no references{others}; {hint}"


def _entries(path: Path) -> list[object]:
    text = read_json_text(path)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        return _line_entries(path, text, error)
    if isinstance(data, dict) and "caption" not in data:
        by_image = {key: _texts(own, f"{path}, image {key}") for key, own in data.items()}
        return [{"image": key, "caption": caption} for key, own in by_image.items() for caption in own]
    return data if isinstance(data, list) else [data]


def _line_entries(path: Path, text: str, error: Exception) -> list[object]:
    try:
        # Not splitlines: a caption may hold other line ends of Unicode, which JSON leaves as they are.
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    except (ValueError, RecursionError):
        raise ValueError(f'{path} is neither JSON nor lines of it, {{"image", "caption"}} each: {error}') from error


def _texts(given: object, where: str) -> tuple[str, ...]:
    """Return the captions of an image in an object of captions: a text, texts, or a list of {"caption": text}."""
    entries = given if isinstance(given, list) else [given]
    found = [entry.get("caption") if isinstance(entry, Mapping) else entry for entry in entries]
    texts = tuple(text for text in found if isinstance(text, str))
    if not texts or len(texts) < len(found):
        raise ValueError(f"{where}: expected captions, a text or a list of them, got {ascii(given)[:80]}")
    return texts


def _result(entry: object, where: str) -> tuple[str, str]:
    if isinstance(entry, Mapping):
        key, caption = entry_id(entry, "image_id" if "image_id" in entry else "image"), entry.get("caption")
        if key is not None and isinstance(caption, str):
            return str(key), caption
    raise ValueError(
        f'{where}: expected {{"image_id": id, "caption": text}} or {{"image": name, "caption": text}}, '
        f"got {ascii(entry)[:80]}"
    )
