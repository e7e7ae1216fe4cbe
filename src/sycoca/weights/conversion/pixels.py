"""What other projects' folders say about pixels, as our transforms."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sycoca.preprocess.config import ImageTransformConfig, ResizeKind

Pixels = tuple[ImageTransformConfig, tuple[str, ...]]
"""Our transforms, and in a line each what they do otherwise."""

OPEN_CLIP_RESIZE_MODES: Mapping[ResizeKind, str] = {"crop": "shortest", "squash": "squash"}
"""What open_clip calls our ways of resizing."""

_BICUBIC = 3
"""Pillow's number of the filter that we resize with."""


def open_clip_pixels(described: Mapping[str, Any], where: str) -> Pixels:
    """Return the transforms of open_clip's ``preprocess_cfg``; those of CLIP where it says nothing.

    Raises ValueError for a way of resizing that we do not have.
    """
    resize = described.get("resize_mode", "shortest")
    kinds: dict[str, ResizeKind] = {name: kind for kind, name in OPEN_CLIP_RESIZE_MODES.items()}
    if resize not in kinds:
        raise ValueError(f"{where}: resize_mode is {resize!r}; {' and '.join(kinds)} can be converted")
    filter_name = described.get("interpolation", "bicubic")
    return _transforms(
        described.get("mean"),
        described.get("std"),
        kinds[resize],
        () if filter_name in ("bicubic", "random") else (_other_filter(filter_name),),
    )


def hf_pixels(described: Mapping[str, Any]) -> Pixels:
    """Return the transforms of Hugging Face's ``preprocessor_config.json``; those of CLIP where it says nothing."""
    size = described.get("size", {})
    # A height and a width mean that the whole picture is stretched to them, unless a crop follows.
    is_squashed = isinstance(size, Mapping) and "height" in size and not described.get("do_center_crop", False)
    filter_number = described.get("resample", _BICUBIC)
    return _transforms(
        described.get("image_mean"),
        described.get("image_std"),
        "squash" if is_squashed else "crop",
        () if filter_number == _BICUBIC else (_other_filter(f"filter {filter_number} of Pillow"),),
    )


def _other_filter(name: str) -> str:
    return f"pictures were resized by {name} there and are resized bicubically here"


def _transforms(mean: Any, std: Any, resize: ResizeKind, notices: tuple[str, ...]) -> Pixels:
    given = {name: tuple(map(float, values)) for name, values in (("mean", mean), ("std", std)) if values is not None}
    return replace(ImageTransformConfig(resize=resize), **given), notices
