"""Conversion of other projects' preprocessing configs into our image transforms."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sycoca.preprocess.config import ImageTransformConfig, ResizeKind
from sycoca.weights.conversion.config_fields import three_numbers

Pixels = tuple[ImageTransformConfig, tuple[str, ...]]
"""Our transforms, and a line about each difference."""

OPEN_CLIP_RESIZE_MODES: Mapping[ResizeKind, str] = {"crop": "shortest", "squash": "squash"}
"""open_clip's names of our resize modes."""


_OPEN_CLIP_FIELDS = frozenset({"size", "mode", "mean", "std", "interpolation", "resize_mode", "fill_color"})
"""What a ``preprocess_cfg`` may say; its fill color fills what only other resize modes leave empty."""


def open_clip_pixels(described: Mapping[str, Any], where: str, image_size: int) -> Pixels:
    """Return the transforms of open_clip's ``preprocess_cfg``, with CLIP's for missing fields.

    Raises ValueError for an unsupported resize mode, and for images that are not RGB.
    """
    if described.get("mode", "RGB") != "RGB":
        raise ValueError(f"{where}: mode is {described['mode']!r}; RGB alone can be converted")
    resize = described.get("resize_mode", "shortest")
    kinds: dict[str, ResizeKind] = {name: kind for kind, name in OPEN_CLIP_RESIZE_MODES.items()}
    if not isinstance(resize, str) or resize not in kinds:
        raise ValueError(f"{where}: resize_mode is {resize!r}; {' and '.join(kinds)} can be converted")
    filter_name = described.get("interpolation", "bicubic")
    notices = () if filter_name in ("bicubic", "random") else (other_filter(f"{filter_name} interpolation"),)
    size = described.get("size", image_size)
    if size not in (image_size, [image_size, image_size]):
        notices = (*notices, f"images have {size} pixels there, and {image_size} here, as the tensors say")
    if unknown := sorted(described.keys() - _OPEN_CLIP_FIELDS):
        notices = (*notices, f"ignored, since it is not known here: {', '.join(unknown)}")
    return _transforms(described.get("mean"), described.get("std"), where, kinds[resize], notices)


def other_filter(name: str) -> str:
    """Return the line about another filter of resizing."""
    return f"the model was trained on images resized with {name}; here they are resized with bicubic interpolation"


def _transforms(mean: Any, std: Any, where: str, resize: ResizeKind, notices: tuple[str, ...]) -> Pixels:
    given = {
        name: three_numbers(values, f"{where}: {name}")
        for name, values in (("mean", mean), ("std", std))
        if values is not None
    }
    return replace(ImageTransformConfig(resize=resize), **given), notices
