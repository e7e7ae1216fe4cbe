"""Weights to start a pretraining from, and runs as they are before their first step."""

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from sycoca.model.config import ImageEncoderConfig, SyCoCaConfig, TextEncoderConfig
from sycoca.model.decoder_configs import ImageDecoderConfig, TextDecoderConfig
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.training.engine.runtime import Runtime
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.recipes.pretraining.recipe import Pretraining
from sycoca.training.recipes.recipe import TrainedParts
from sycoca.training.run_folder import RunFolder

VOCAB_SIZE = 290
PIXELS = ImageTransformConfig(mean=(0.5, 0.5, 0.5), std=(0.5, 0.4, 0.3))
MODEL = SyCoCaConfig(
    image_encoder=ImageEncoderConfig(image_size=16, patch_size=4, width=24, depth=1, num_heads=3, pooling="mean"),
    text_encoder=TextEncoderConfig(vocab_size=VOCAB_SIZE, context_length=20, width=8, depth=1, num_heads=2),
    text_decoder=TextDecoderConfig(depth=1, num_heads=4),
    image_decoder=ImageDecoderConfig(width=20, depth=1, num_heads=2),
    embed_dim=6,
)
"""Every part has another size than in the runs of these tests."""

VIT = ImageEncoderConfig(image_size=16, patch_size=4, width=12, depth=1, num_heads=2, has_norm_pre=False)

PARTS = ("image_encoder", "text_encoder", "text_decoder", "image_decoder")


def tensors_in(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of a weights folder."""
    return load_file(folder / "model.safetensors")


def count_of(folder: Path, part: str) -> int:
    """Return the numbers of a part."""
    return sum(tensor.numel() for name, tensor in tensors_in(folder).items() if name.startswith(part))


def built(config: PretrainConfig, folder: Path) -> tuple[Pretraining, TrainedParts]:
    """Put a run together as it is before its first step."""
    folder.mkdir(exist_ok=True)
    recipe = Pretraining.for_new_run(config)
    with Runtime(config.runtime) as runtime:
        return recipe, recipe.build(recipe.open_sources().train, RunFolder(folder), runtime)


def notices(config: PretrainConfig, folder: Path) -> list[str]:
    """Return what is said before the first step."""
    recipe, trained = built(config, folder)
    return [*recipe.summary(trained), *recipe.notices(trained)]


def log_of(run: Path) -> str:
    """Return what a run has said."""
    return (run / "log.txt").read_text(encoding="utf-8")
