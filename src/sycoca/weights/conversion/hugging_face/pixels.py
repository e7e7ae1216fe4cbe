"""Image processors of Hugging Face as our transforms: every field is honored, reported as different, or refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sycoca.preprocess.config import ImageTransformConfig, ResizeKind
from sycoca.weights.conversion.checkpoint_files import read_json
from sycoca.weights.conversion.config_fields import is_number, three_numbers
from sycoca.weights.conversion.pixels import Pixels, other_filter

_PROCESSOR_NAME = "processor_config.json"
"""Where transformers 5 writes the image processor of a model that also reads texts."""

_IMAGE_PROCESSOR_NAME = "preprocessor_config.json"
"""Where older versions write it, and all versions that of a model for images alone."""

_BICUBIC, _BILINEAR = 3, 2
"""Pillow's numbers of filters."""

_RESCALE_FACTOR = 1 / 255

_CLIP = ImageTransformConfig()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Defaults:
    """What an image processor does where its file does not say."""

    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    resample: int
    is_square: bool
    """Whether a single number as size is that of both sides, not of the shorter one."""

    do_center_crop: bool


_DEFAULTS = {
    "CLIP": _Defaults(mean=_CLIP.mean, std=_CLIP.std, resample=_BICUBIC, is_square=False, do_center_crop=True),
    "ViT": _Defaults(mean=(0.5,) * 3, std=(0.5,) * 3, resample=_BILINEAR, is_square=True, do_center_crop=False),
    "SigLIP": _Defaults(mean=(0.5,) * 3, std=(0.5,) * 3, resample=_BICUBIC, is_square=True, do_center_crop=False),
    "DINOv2": _Defaults(
        mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), resample=_BICUBIC, is_square=False, do_center_crop=True
    ),
    "DINOv3": _Defaults(
        mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), resample=_BILINEAR, is_square=True, do_center_crop=False
    ),
}
"""By the beginning of the processor's name; DINOv2's is a BitImageProcessor, whose file says everything."""

_OTHERS = _Defaults(mean=None, std=None, resample=_BICUBIC, is_square=False, do_center_crop=False)

_READ = {
    *("do_normalize", "image_mean", "image_std", "do_rescale", "rescale_factor", "do_resize", "size", "resample"),
    *("do_center_crop", "crop_size", "default_to_square", "do_pad", "pad_size"),
}
_NEUTRAL = {
    *("image_processor_type", "feature_extractor_type", "processor_class", "_processor_class", "auto_map"),
    *("_valid_processor_keys", "do_convert_rgb", "data_format", "input_data_format", "return_tensors", "device"),
    *("disable_grouping", "use_fast", "image_seq_length", "image_token", "transformers_version"),
}
"""Fields that change no pixel of an RGB image."""


def read_hf_pixels(folder: Path, image_size: int, kind: str) -> Pixels:
    """Return the transforms of a folder's image processor, and a line about whatever they do otherwise.

    ``kind`` is the model's (CLIP, ViT, DINOv2, DINOv3, SigLIP), whose processor is assumed where the folder has no
    file. Raises ValueError for what cannot be converted.
    """
    path, described = _described(folder)
    if path is None:
        notice = f"neither {_PROCESSOR_NAME} nor {_IMAGE_PROCESSOR_NAME} is there: images are normalized as {kind} does"
        transforms, notices = hf_pixels({"image_processor_type": kind}, str(folder), image_size)
        return transforms, (notice, *notices)
    named = {"image_processor_type": f"{kind}ImageProcessor"} if _type_name(described) == "" else {}
    return hf_pixels({**described, **named}, str(path), image_size)


def hf_pixels(described: Mapping[str, Any], where: str, image_size: int) -> Pixels:
    """Return the transforms that an image processor's fields describe, see `read_hf_pixels`."""
    # transformers writes null for what the processor's class decides.
    described = {name: value for name, value in described.items() if value is not None}
    _refuse_unknown_steps(described, where)
    defaults = next(
        (own for name, own in _DEFAULTS.items() if _type_name(described).lower().startswith(name.lower())), _OTHERS
    )
    resize, notices = _resize(described, defaults, where, image_size)
    mean, std = _normalization(described, defaults, where)
    filter_number = described.get("resample", defaults.resample)
    if filter_number != _BICUBIC and described.get("do_resize", True):
        notices = (*notices, other_filter(f"filter {filter_number} of Pillow"))
    unknown = sorted(described.keys() - _READ - _NEUTRAL)
    unknown = [name for name in unknown if not name.startswith("do_")]
    if unknown:
        notices = (*notices, f"ignored, since it is not known here: {', '.join(unknown)}")
    return ImageTransformConfig(mean=mean, std=std, resize=resize), notices


def _described(folder: Path) -> tuple[Path | None, dict[str, Any]]:
    """Return the file of the image processor and its fields; of two files transformers reads the newer kind."""
    path = folder / _PROCESSOR_NAME
    nested = read_json(path).get("image_processor") if path.is_file() else None
    if nested is not None:
        if not isinstance(nested, dict):
            raise ValueError(f"{path}: image_processor must be an object, got {nested!r}")
        return path, nested
    path = folder / _IMAGE_PROCESSOR_NAME
    return (path, read_json(path)) if path.is_file() else (None, {})


def _type_name(described: Mapping[str, Any]) -> str:
    return str(described.get("image_processor_type") or described.get("feature_extractor_type") or "")


def _refuse_unknown_steps(described: Mapping[str, Any], where: str) -> None:
    for name, value in described.items():
        if name.startswith("do_") and not isinstance(value, bool):
            raise ValueError(f"{where}: {name} is {value!r}; expected true or false")
        if name.startswith("do_") and name not in _READ | _NEUTRAL and value:
            raise ValueError(f"{where}: {name} is {value!r}, a step that cannot be converted")


def _normalization(
    described: Mapping[str, Any], defaults: _Defaults, where: str
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return mean and deviation for pixels between 0 and 1 that give what rescaling and normalization give there."""
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if described.get("do_normalize", True):
        mean = three_numbers(described.get("image_mean", defaults.mean), f"{where}: image_mean")
        std = three_numbers(described.get("image_std", defaults.std), f"{where}: image_std")
    factor = described.get("rescale_factor", _RESCALE_FACTOR) if described.get("do_rescale", True) else 1.0
    if not is_number(factor) or factor <= 0:
        raise ValueError(f"{where}: rescale_factor must be a positive number, got {factor!r}")
    scale = 255 * factor
    if abs(scale - 1) < 1e-6:
        return mean, std
    # (scale x - mean) / std, with x between 0 and 1.
    return _divided(mean, scale), _divided(std, scale)


def _divided(values: tuple[float, float, float], scale: float) -> tuple[float, float, float]:
    return values[0] / scale, values[1] / scale, values[2] / scale


def _resize(
    described: Mapping[str, Any], defaults: _Defaults, where: str, image_size: int
) -> tuple[ResizeKind, tuple[str, ...]]:
    notices = []
    size = _sides(described.get("size"), described.get("default_to_square", defaults.is_square), f"{where}: size")
    crops = bool(described.get("do_center_crop", defaults.do_center_crop))
    seen = _sides(described.get("crop_size"), True, f"{where}: crop_size") if crops else size
    is_square = defaults.is_square if size is None else "height" in size
    if described.get("do_pad"):
        notices.append("images are padded there (do_pad) and never here")
    if not described.get("do_resize", True):
        notices.append("images keep their size there (do_resize is false); here they are resized")
    elif not is_square and not crops:
        notices.append("whole images are seen there (do_center_crop is false); here their central square")
    elif size is not None and crops and set(size.values()) != {image_size}:
        notices.append(
            f"images are resized to {_shown(size)} there before the central {image_size} pixels are cut out; here the"
            f" central square is resized to {image_size} pixels"
        )
    if seen is not None and set(seen.values()) != {image_size}:
        notices.append(f"images have {_shown(seen)} there, and {image_size} pixels here, as the model says")
    return "squash" if is_square and not crops else "crop", tuple(notices)


def _sides(size: object, is_square: bool, where: str) -> dict[str, int] | None:
    """Return a size as lengths by side: "height" and "width", or "shortest_edge"."""
    if size is None:
        return None
    if type(size) is int:
        return {"height": size, "width": size} if is_square else {"shortest_edge": size}
    if isinstance(size, Mapping):
        sides = {str(name): length for name, length in size.items() if length is not None}
        if set(sides) in ({"height", "width"}, {"shortest_edge"}) and all(type(one) is int for one in sides.values()):
            return sides
    raise ValueError(f"{where} is {size!r}; height and width, or shortest_edge can be converted")


def _shown(size: Mapping[str, int]) -> str:
    names = {"height": "high", "width": "wide", "shortest_edge": "on the shorter side"}
    lengths = set(size.values())
    if len(lengths) == 1 and "height" in size:
        return f"{lengths.pop()} x {next(iter(size.values()))} pixels"
    return " and ".join(f"{length} pixels {names[name]}" for name, length in size.items())
