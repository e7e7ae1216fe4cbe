"""Files of embeddings, those that ``sycoca embed`` writes and those of other models. Nothing is unpickled."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sycoca.data.text_files import read_any_json
from sycoca.file_names import has_suffix
from sycoca.outputs.atomic import atomic_file
from sycoca.texts import normal_form, normal_names

Arrays = dict[str, np.ndarray]

SUFFIXES = (".safetensors", ".npz")
"""Suffixes of files of several arrays."""

_DIGEST = "weights_sha256"
_MODEL = ("weights", _DIGEST, "dtype")
"""What names the model, see `ResultProvenance.model`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddedPairs:
    """Embeddings of images and captions in one space, and the image of each caption."""

    images: Float[np.ndarray, "images embed"]
    """One row per image."""

    texts: Float[np.ndarray, "texts embed"]
    """One row per caption."""

    image_of_text: Int[np.ndarray, " texts"]
    """The row of the image that a caption belongs to."""

    keys: Sequence[str]
    """Names of the images."""

    name: str = "embeddings"
    """Name in reports."""

    def caption_keys(self) -> list[str]:
        """Return names of the captions: the image's name and the caption's number among those of the image."""
        seen: Counter[int] = Counter()
        names = []
        for image in self.image_of_text.tolist():
            names.append(f"{self.keys[image]}#{seen[image]}")
            seen[image] += 1
        return names


def check_suffix(path: Path) -> None:
    """Raise ValueError for a suffix that names no format."""
    if not has_suffix(path, *SUFFIXES):
        raise ValueError(f"{path} must end with {' or '.join(SUFFIXES)}")


def write_arrays(
    path: Path, arrays: Mapping[str, np.ndarray], keys: Sequence[str], model: Mapping[str, str] | None = None
) -> None:
    """Write arrays and the names of the images atomically, and what names the model (`ResultProvenance.model`).

    Raises ValueError for another suffix.
    """
    check_suffix(path)
    model = {} if model is None else model
    with atomic_file(path) as unfinished:
        if has_suffix(path, ".npz"):
            with unfinished.open("wb") as file:  # numpy would add .npz to a name that ends with .NPZ
                texts = {name: np.array(text, dtype=np.str_) for name, text in {**model, "keys": keys}.items()}
                np.savez(file, **arrays, **texts)  # pyright: ignore[reportArgumentType]
        else:
            metadata = {**model, "keys": json.dumps(list(keys), ensure_ascii=False)}
            save_file(dict(arrays), unfinished, metadata=metadata)


def read_arrays(path: Path) -> Arrays:
    """Return the arrays of a .npy (under the name ""), .npz or .safetensors file, and what `write_arrays` adds to them.

    Raises ValueError where the file cannot be read.
    """
    try:
        if has_suffix(path, ".npy"):
            return {"": np.load(path, allow_pickle=False)}
        if has_suffix(path, ".npz"):
            # Opened here, since numpy does not close a damaged file.
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
                return dict(arrays)
        if has_suffix(path, ".safetensors"):
            return _read_safetensors(path)
        raise ValueError("it must end with .npy, .npz or .safetensors")
    except (OSError, ValueError, EOFError, BadZipFile, SafetensorError) as error:
        raise ValueError(f"{path} cannot be read as embeddings: {error}") from error


def read_pairs(images: Path, texts: Path, image_of_text: Path | None) -> EmbeddedPairs:
    """Read embeddings of images and of texts, which may be one file, and the image of each text.

    A file of several arrays has them under "images", "texts", "image_of_text" and "keys", as ``sycoca embed`` writes
    it. ``image_of_text`` is a JSON list or a .npy file with an image for every text: the number of its row, or its
    key. Raises ValueError where something is missing, has another shape, or does not fit together.
    """
    of_images, of_texts = read_arrays(images), read_arrays(texts)
    image_rows = _matrix(of_images, "images", images)
    text_rows = _matrix(of_texts, "texts", texts)
    if image_rows.shape[1] != text_rows.shape[1]:
        raise ValueError(
            f"{images} has vectors of {image_rows.shape[1]} numbers, {texts} of {text_rows.shape[1]}: they are not in"
            " one space"
        )
    _check_same_weights(of_images, of_texts, images, texts)
    keys = [str(key) for key in of_images.get("keys", np.arange(len(image_rows))).tolist()]
    if len(keys) != len(image_rows) or len(set(keys)) != len(keys):
        raise ValueError(f"{images} must have a different key for every image, got {len(set(keys))} different ones")
    owners, where = _owners(of_texts, texts, image_of_text)
    if len(owners) != len(text_rows):
        raise ValueError(f"{where} names the image of {len(owners)} texts, {texts} has {len(text_rows)}")
    return EmbeddedPairs(
        images=image_rows,
        texts=text_rows,
        image_of_text=_rows(owners, keys, where),
        keys=keys,
        name=str(images) if images == texts else f"{images}, {texts}",
    )


def _read_safetensors(path: Path) -> Arrays:
    with safe_open(path, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        metadata = file.metadata() or {}
    keys = {"keys": np.array(json.loads(metadata["keys"]))} if "keys" in metadata else {}
    return {**arrays, **keys, **{name: np.array(metadata[name]) for name in _MODEL if name in metadata}}


def _check_same_weights(of_images: Arrays, of_texts: Arrays, images: Path, texts: Path) -> None:
    """Raise ValueError where both files name their weights, and these are others."""
    of_both = [arrays.get(_DIGEST) for arrays in (of_images, of_texts)]
    if None not in of_both and of_both[0] != of_both[1]:
        names = [str(arrays.get("weights", "other weights")) for arrays in (of_images, of_texts)]
        raise ValueError(
            f"{images} was embedded by {names[0]}, {texts} by other weights, {names[1]}: they are not in one space"
        )


def _matrix(arrays: Arrays, name: str, path: Path) -> Float[np.ndarray, "rows embed"]:
    array = arrays.get("", arrays.get(name))
    if array is None:
        raise ValueError(f"{path} has no array {name!r}; it has {', '.join(sorted(arrays))}")
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.floating) or 0 in array.shape:
        raise ValueError(f"{path}: {name} must be a table of numbers, one row each, got {array.dtype} {array.shape}")
    return array


def _owners(of_texts: Arrays, texts: Path, image_of_text: Path | None) -> tuple[list[object], Path]:
    if image_of_text is None:
        if "image_of_text" not in of_texts:
            raise ValueError(f"{texts} does not say which image a text belongs to: give --image-of-text")
        return of_texts["image_of_text"].tolist(), texts
    if not has_suffix(image_of_text, ".json"):
        arrays = read_arrays(image_of_text)
        array = arrays.get("", arrays.get("image_of_text"))
        if array is None:
            raise ValueError(f"{image_of_text} has no array 'image_of_text'; it has {', '.join(sorted(arrays))}")
        return array.tolist(), image_of_text
    owners = read_any_json(image_of_text)
    if not isinstance(owners, list):
        raise ValueError(f"{image_of_text} must be a JSON list with an image for every text")
    return owners, image_of_text


def _rows(owners: Sequence[object], keys: Sequence[str], where: Path) -> Int[np.ndarray, " texts"]:
    row_of_key = {key: row for row, key in enumerate(normal_names(keys))} | {key: row for row, key in enumerate(keys)}
    rows = []
    for number, owner in enumerate(owners):
        row = owner if type(owner) is int else row_of_key.get(str(owner), row_of_key.get(normal_form(str(owner))))
        if row is None or not 0 <= row < len(keys):
            raise ValueError(f"{where}: text {number} belongs to image {owner!r}, none of the {len(keys)} images")
        rows.append(row)
    return np.array(rows, dtype=np.int64)
