"""Conversion of other projects' preprocessing configs into our image transforms."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sycoca.preprocess.config import ImageTransformConfig, ResizeKind

Pixels = tuple[ImageTransformConfig, tuple[str, ...]]
"""Our transforms, and a line about each difference."""

OPEN_CLIP_RESIZE_MODES: Mapping[ResizeKind, str] = {"crop": "shortest", "squash": "squash"}
"""open_clip's names of our resize modes."""

_BICUBIC = 3
"""Pillow's number of our resize filter."""


def open_clip_pixels(described: Mapping[str, Any], where: str) -> Pixels:
    """Return the transforms of open_clip's ``preprocess_cfg``, with CLIP's for missing fields.

    Raises ValueError for an unsupported resize mode.
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
        () if filter_name in ("bicubic", "random") else (_other_filter(f"{filter_name} interpolation"),),
    )


def hf_pixels(described: Mapping[str, Any]) -> Pixels:
    """Return the transforms of Hugging Face's ``preprocessor_config.json``, with CLIP's for missing fields."""
    size = described.get("size", {})
    # With height and width the whole image is resized to them, ignoring its aspect ratio, unless a crop follows.
    is_squashed = isinstance(size, Mapping) and "height" in size and not described.get("do_center_crop", False)
    filter_number = described.get("resample", _BICUBIC)
    return _transforms(
        described.get("image_mean"),
        described.get("image_std"),
        "squash" if is_squashed else "crop",
        () if filter_number == _BICUBIC else (_other_filter(f"filter {filter_number} of Pillow"),),
    )


def _other_filter(name: str) -> str:
    return f"the model was trained on images resized with {name}; here they are resized with bicubic interpolation"


def _transforms(mean: Any, std: Any, resize: ResizeKind, notices: tuple[str, ...]) -> Pixels:
    given = {name: tuple(map(float, values)) for name, values in (("mean", mean), ("std", std)) if values is not None}
    return replace(ImageTransformConfig(resize=resize), **given), notices
