"""Runs of a second: scenes of 16 pixels, components of two layers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builders.starts import MODEL, PIXELS, VIT, VOCAB_SIZE
from sycoca.model.config import ImageEncoderConfig, SyCoCaConfig, TextEncoderConfig
from sycoca.model.decoder_configs import ImageDecoderConfig, TextDecoderConfig
from sycoca.model.image_encoder import ImageEncoder
from sycoca.model.masking_config import MaskingConfig
from sycoca.objectives.config import ObjectivesConfig
from sycoca.preprocess.config import ImageTransformConfig, TokenizerConfig
from sycoca.training.config import DataConfig, OptimizerConfig, RuntimeConfig, ScheduleConfig, TrainingConfig
from sycoca.training.pretrain import pretrain
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.weights.parts import save_image_encoder

RunConfigMaker = Callable[..., PretrainConfig]


@pytest.fixture(scope="module")
def make_run_config(tmp_path_factory: pytest.TempPathFactory) -> RunConfigMaker:
    """Return a function that makes a config of a few steps on the CPU; keywords replace its sections.

    Every config has a run folder of its own.
    """

    def make(out: str = "run", **changes: object) -> PretrainConfig:
        sections: dict[str, object] = {
            "model": SyCoCaConfig(
                image_encoder=ImageEncoderConfig(image_size=16, patch_size=4, width=16, depth=2, num_heads=2),
                text_encoder=TextEncoderConfig(vocab_size=300, context_length=24, width=16, depth=2, num_heads=2),
                text_decoder=TextDecoderConfig(depth=2, num_heads=2),
                image_decoder=ImageDecoderConfig(width=16, depth=2, num_heads=2),
                embed_dim=8,
            ),
            "masking": MaskingConfig(strategy="random"),
            "transforms": ImageTransformConfig(crop_min_area=0.5),
            "tokenizer": TokenizerConfig(vocab_size=300),
            "data": DataConfig(train="scenes:?count=10&size=16"),
            "optimizer": OptimizerConfig(peak_lr=1e-2),
            "schedule": ScheduleConfig(warmup_steps=2),
            "training": TrainingConfig(steps=4, global_batch_size=4, log_every=1, tensorboard=False, report=False),
            "runtime": RuntimeConfig(device="cpu"),
        }
        folder = tmp_path_factory.mktemp("runs") / out
        return PretrainConfig(preset="test", out=str(folder), **{**sections, **changes})  # pyright: ignore

    return make


@pytest.fixture(scope="module")
def weights(make_run_config: RunConfigMaker) -> Path:
    """Return weights after four steps; unlike in the other configs here, their tokenizer does not lower-case."""
    tokenizer = TokenizerConfig(vocab_size=VOCAB_SIZE, lowercase=False)
    return pretrain(make_run_config("weights", model=MODEL, transforms=PIXELS, tokenizer=tokenizer)) / "weights"


@pytest.fixture(scope="module")
def clip(make_run_config: RunConfigMaker) -> Path:
    """Return weights like CLIP's: no decoders, text pooling at eos, quick GELU."""
    text_encoder = replace(MODEL.text_encoder, pooling="eos", activation="quick_gelu")
    image_encoder = replace(MODEL.image_encoder, pooling="cls", activation="quick_gelu")
    config = make_run_config(
        "clip",
        model=replace(MODEL, text_encoder=text_encoder, image_encoder=image_encoder),
        tokenizer=TokenizerConfig(vocab_size=VOCAB_SIZE),
        objectives=ObjectivesConfig(captioning_weight=0.0, masked_image_weight=0.0),
    )
    return pretrain(config) / "weights"


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an image encoder alone, without projection."""
    tensors = ImageEncoder(VIT, 4).state_dict()
    del tensors["projection.weight"]
    folder = tmp_path_factory.mktemp("vit") / "vit"
    save_image_encoder(folder, VIT, tensors, PIXELS)
    return folder
