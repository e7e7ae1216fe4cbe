"""Which parts can be frozen, and what caching a frozen encoder's features needs. Imports no torch."""

from collections.abc import Collection, Mapping
from typing import Literal

from sycoca.training.data_config import DataConfig

FreezablePart = Literal["image_encoder", "text_encoder", "text_decoder", "image_decoder", "log_logit_scale"]
"""A part of the model that can be loaded and frozen; the last is the temperature."""

_OFF = {"objectives.masked_image_weight": "0", "objectives.encoded_patches": "'all'"}
"""What switches off a setting that is not off with None."""


def check_cached_views(
    data: DataConfig, frozen: Collection[FreezablePart], flag: str, prevents_caching: Mapping[str, float | str | None]
) -> None:
    """Raise ValueError where ``data.cached_views`` is set and images must be encoded in every step.

    ``flag`` freezes parts; ``prevents_caching`` are other settings for which that is so, unless they are None.
    """
    if data.cached_views is None:
        return
    if "image_encoder" not in frozen:
        raise ValueError(
            f"data.cached_views caches the features of a frozen image encoder, and it is trained: add {flag}"
            " image_encoder"
        )
    for name, value in prevents_caching.items():
        if value is not None:
            shown, off = value if isinstance(value, str) else f"{value:g}", _OFF.get(name, "None")
            raise ValueError(
                f"data.cached_views: with {name} {shown} images are encoded in every step; set it to {off}"
            )
