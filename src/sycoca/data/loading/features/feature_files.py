"""Files of cached features: patch tokens of consecutive samples, mapped into memory.

    FOLDER/<encoder, transforms, seed, precision>/<view, samples>.safetensors

Each file holds one view (the random crop of an epoch) of up to 256 samples: ``cls_tokens``, ``patch_tokens``,
``image_keys`` and ``is_readable``, and in its metadata why samples cannot be read. Its name is a digest of the state of
the image files, so a changed image gives another file, and runs share what is equal. A file is whole or absent.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from sycoca.data.loading.features.image_states import is_of_no_image
from sycoca.outputs.atomic import atomic_file
from sycoca.records import ImageTokens
from sycoca.unusable import LASTING_REASONS, REASONS_OF_ABSENCE, SkippedSample

SAMPLES_PER_FILE = 256
"""Samples per file: 39 MB with 50 tokens of width 768 in fp32."""

_SKIPPED = "skipped"

_NAMES = frozenset({"cls_tokens", "patch_tokens", "image_keys", "is_readable"})


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureFile:
    """One file of a cache, written or not."""

    path: Path
    """Where it is, or will be."""

    view: int
    """Its view: the epoch whose crops it holds."""

    samples: range
    """Its samples."""


class StoredFeatures(NamedTuple):
    """The contents of a file, one row per sample."""

    tokens: ImageTokens
    """The tokens; those of a sample that cannot be read have no meaning."""

    image_keys: Int[Tensor, " samples"]
    """Keys that are equal for equal images, see `image_key`."""

    is_readable: Bool[Tensor, " samples"]
    """Whether the image could be read."""

    skipped: dict[int, SkippedSample]
    """Why it could not, by row."""


class TokenShape(NamedTuple):
    """The shape of the tokens of one image."""

    num_cls: int
    num_patches: int
    width: int

    def num_bytes(self, dtype: torch.dtype) -> int:
        """Return the bytes of one image's tokens."""
        return (self.num_cls + self.num_patches) * self.width * dtype.itemsize


def feature_files(folder: Path, image_states: Sequence[str], num_views: int) -> list[FeatureFile]:
    """Return the files of ``num_views`` views of all samples, whose images are in these states, view by view."""
    return [
        FeatureFile(path=folder / f"{_digest(view, samples, image_states)}.safetensors", view=view, samples=samples)
        for view in range(num_views)
        for samples in _blocks(len(image_states))
    ]


def is_whole(file: FeatureFile, shape: TokenShape, dtype: torch.dtype) -> bool:
    """Return whether a file is there with all its rows."""
    try:
        with safe_open(file.path, "pt") as opened:
            if _SKIPPED not in (opened.metadata() or {}) or not _NAMES.issubset(opened.keys()):
                return False
            tokens = opened.get_slice("patch_tokens")
            return tokens.get_shape() == [len(file.samples), *shape[1:]] and tokens[:0].dtype == dtype
    except (OSError, SafetensorError):
        return False


def has_passing_problem(file: FeatureFile, image_states: Sequence[str]) -> bool:
    """Return whether an image could not be read for a reason that may be gone while its file is the same."""
    skipped = _skipped_in(file.path).items()
    return any(not _is_lasting(sample, image_states[file.samples[row]]) for row, sample in skipped)


def _is_lasting(skipped: SkippedSample, image_state: str) -> bool:
    # A file that appears is in another state, unless it was there and went away for the moment of its reading.
    is_absent = skipped.reason in REASONS_OF_ABSENCE and is_of_no_image(image_state)
    return skipped.reason in LASTING_REASONS or is_absent


def write_features(path: Path, features: StoredFeatures) -> None:
    """Write a file, whole or not at all."""
    tensors = {**_named(features.tokens), "image_keys": features.image_keys, "is_readable": features.is_readable}
    skipped = {row: asdict(sample) for row, sample in features.skipped.items()}
    with atomic_file(path) as unfinished:
        save_file(tensors, unfinished, metadata={_SKIPPED: json.dumps(skipped)})


def read_features(path: Path) -> StoredFeatures:
    """Map a file into memory. Raises OSError or SafetensorError where it is missing or damaged."""
    tensors = load_file(path)
    return StoredFeatures(
        tokens=ImageTokens(cls_tokens=tensors["cls_tokens"], patch_tokens=tensors["patch_tokens"]),
        image_keys=tensors["image_keys"],
        is_readable=tensors["is_readable"],
        skipped=_skipped_in(path),
    )


def _skipped_in(path: Path) -> dict[int, SkippedSample]:
    with safe_open(path, "pt") as opened:
        skipped = json.loads(opened.metadata()[_SKIPPED])
    return {int(row): SkippedSample(**sample) for row, sample in skipped.items()}


def _named(tokens: ImageTokens) -> dict[str, Float[Tensor, "samples positions width"]]:
    return {"cls_tokens": tokens.cls_tokens.contiguous(), "patch_tokens": tokens.patch_tokens.contiguous()}


def _blocks(num_samples: int) -> Iterator[range]:
    for first in range(0, num_samples, SAMPLES_PER_FILE):
        yield range(first, min(first + SAMPLES_PER_FILE, num_samples))


def _digest(view: int, samples: range, image_states: Sequence[str]) -> str:
    # A crop depends on the number of its sample.
    content = json.dumps([view, samples.start, image_states[samples.start : samples.stop]])
    return hashlib.sha256(content.encode()).hexdigest()[:32]
