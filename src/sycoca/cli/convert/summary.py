"""The summary of ``sycoca convert``."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from sycoca.cli.shared.results import print_path

if TYPE_CHECKING:
    from sycoca.model.config import ImageEncoderConfig, SyCoCaConfig
    from sycoca.weights.conversion.convert import Conversion

logger = logging.getLogger(__name__)


def show_conversion(
    conversion: "Conversion", out: Path, next_commands: tuple[str, ...], *, noun: str = "weights"
) -> None:
    """Print what was written on stdout; log sizes, assumptions, dropped tensors and commands to try next."""
    lines = [
        f"{conversion.num_parameters:,} parameters",
        *_sizes(conversion.model),
        *conversion.notices,
    ]
    if conversion.dropped:
        lines.append(f"dropped: {', '.join(conversion.dropped)}")
    lines += [f"next: {command}" for command in next_commands]
    logger.info("\n".join(f"  {line}" for line in lines))
    print_path(noun, out)


def _sizes(model: "SyCoCaConfig | ImageEncoderConfig") -> list[str]:
    from sycoca.model.config import ImageEncoderConfig

    if isinstance(model, ImageEncoderConfig):
        return [_image_encoder(model)]
    text = model.text_encoder
    lines = [
        _image_encoder(model.image_encoder),
        f"text encoder   {text.depth} x {text.width}, {text.num_heads} heads, {text.vocab_size:,} token ids, at most"
        f" {text.context_length} tokens, pooling {text.pooling}",
    ]
    if model.text_decoder is not None:
        lines.append(f"text decoder   {model.text_decoder.depth} x {text.width}, {model.text_decoder.num_heads} heads")
    return lines


def _image_encoder(image: "ImageEncoderConfig") -> str:
    pooling: str = image.pooling
    if image.form.has_pooler:
        pooling = f"attention ({image.pooler.kind}, {image.pooler.num_queries} queries)"
    return (
        f"image encoder  {image.depth} x {image.width}, {image.num_heads} heads, {image.image_size} px in patches of"
        f" {image.patch_size}, pooling {pooling}"
    )
