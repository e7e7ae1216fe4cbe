"""A model of the preset ``tiny`` that is trained on a few scenes, for the doctor's measurements."""

from dataclasses import dataclass

import torch

from sycoca.experiments.benchmark.inputs import scene_batch, scene_tokenizer
from sycoca.model.sycoca import SyCoCa
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.presets.pretrain import tiny
from sycoca.records import ImageTextBatch
from sycoca.training.config import RuntimeConfig
from sycoca.training.engine.optimization.optimizer import build_optimizer
from sycoca.training.engine.runtime import Runtime
from sycoca.training.engine.update import Updater
from sycoca.training.recipes.image_text.task import ImageTextTask
from sycoca.training.recipes.initial_model import build_model
from sycoca.training.recipes.pretraining.config import PretrainConfig, resolved_model_config
from sycoca.training.runtime_config import FixedPrecision
from sycoca.weights.config import WeightsConfig

BATCH_SIZE = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class SmallModel:
    """A model with what trains it."""

    config: PretrainConfig
    model: SyCoCa
    tokenizer: Tokenizer
    batch: ImageTextBatch
    updater: Updater

    def update(self) -> float:
        """Take a step of training on the batch, and return the loss before it."""
        return float(self.updater.update([self.batch], lr=self.config.optimizer.peak_lr).loss)

    @property
    def weights_config(self) -> WeightsConfig:
        """The config of its weights folder."""
        config = self.config
        return WeightsConfig(model=self.model.config, masking=config.masking, transforms=config.transforms)


def runtime_of(device: torch.device, precision: FixedPrecision) -> Runtime:
    """Return the runtime of one process in a precision."""
    return Runtime(RuntimeConfig(device=str(device), precision=precision))


def small_model(runtime: Runtime) -> SmallModel:
    """Build the model on the runtime's device, the same every time."""
    config = tiny()
    tokenizer = scene_tokenizer(config)
    model = build_model(resolved_model_config(config, tokenizer.vocab_size), config.seed).to(runtime.device)
    task = ImageTextTask(model, masking=config.masking, objectives=config.objectives, drop_path=config.drop_path)
    optimizer = build_optimizer(model, config.optimizer)
    return SmallModel(
        config=config,
        model=model,
        tokenizer=tokenizer,
        batch=runtime.to_device(scene_batch(config, tokenizer, BATCH_SIZE)),
        updater=Updater(runtime, task, optimizer, clip_norm=config.training.gradient_clip_norm),
    )
