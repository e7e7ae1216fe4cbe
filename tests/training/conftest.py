"""Runs that take a second: scenes of 16 pixels, a model of two layers each."""

from collections.abc import Callable

import pytest

from sycoca.model.config import (
    ImageDecoderConfig,
    ImageEncoderConfig,
    MaskingConfig,
    SyCoCaConfig,
    TextDecoderConfig,
    TextEncoderConfig,
)
from sycoca.preprocess.config import ImageTransformConfig, TokenizerConfig
from sycoca.training.config import (
    DataConfig,
    OptimizerConfig,
    PretrainConfig,
    RuntimeConfig,
    ScheduleConfig,
    TrainingConfig,
)

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
