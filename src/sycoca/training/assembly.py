"""What every run is put together from, whatever is trained."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from sycoca.data.examples import Examples
from sycoca.data.loader import TrainingBatches
from sycoca.data.samples import SampleSource
from sycoca.data.skipping import SkipLog
from sycoca.model.config import SyCoCaConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.randomness import derive_key
from sycoca.training.config import RunConfig
from sycoca.training.optimizer import build_optimizer
from sycoca.training.runtime import Runtime
from sycoca.training.tasks import TrainingTask
from sycoca.training.update import Updater
from sycoca.training.weight_average import WeightAverage
from sycoca.weights.config import WeightsConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """The data of a run."""

    train: SampleSource
    """What is trained on."""

    validation: SampleSource | None
    """What is measured on, if anything."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedParts:
    """What a kind of training brings."""

    tokenizer: Tokenizer
    """The model's own."""

    model: SyCoCa
    """On its device, as training begins."""

    weights: WeightsConfig
    """What a weights folder and a predictor need to know of the model."""

    task: TrainingTask
    """The objectives around the model."""

    validation_task: TrainingTask
    """The same for one process alone, with nothing that only training does."""

    examples: Examples
    """What goes into batches beside images."""

    mixup_alpha: float | None = None
    """How strongly training images are mixed, see `TrainingCrops`; None does not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunParts:
    """What is trained, on what, by what."""

    source: SampleSource
    """Training samples."""

    trained: TrainedParts
    """Model, objectives, and what they belong to."""

    updater: Updater
    """The optimizer around the task."""

    batches: TrainingBatches
    """This process's share of every step."""

    average: WeightAverage | None
    """The running mean of the weights, where one is kept."""

    def finished_weights(self) -> AbstractContextManager[None]:
        """Return a context in which the model has the weights that are measured and saved: their mean, if any."""
        return nullcontext() if self.average is None else self.average.in_place()


def assemble(
    config: RunConfig, source: SampleSource, trained: TrainedParts, runtime: Runtime, skip_log: SkipLog
) -> RunParts:
    """Put the optimizer around the task, and batches before it."""
    updater = Updater(
        runtime,
        trained.task,
        build_optimizer(trained.model, config.optimizer),
        clip_norm=config.training.gradient_clip_norm,
    )
    batches = TrainingBatches(
        source,
        trained.examples,
        trained.weights.transforms,
        trained.model.config.image_encoder.image_size,
        seed=config.seed,
        global_batch_size=config.training.global_batch_size,
        micro_batch_size=config.training.micro_batch_on(runtime.world_size),
        num_workers=config.data.num_workers,
        pin_memory=runtime.device.type == "cuda",
        cache_images=config.data.cache_images,
        skip_log=skip_log,
        mixup_alpha=trained.mixup_alpha,
        rank=runtime.rank,
        world_size=runtime.world_size,
    )
    decay = config.training.average_decay
    average = None if decay is None else WeightAverage(trained.model, decay)
    return RunParts(source=source, trained=trained, updater=updater, batches=batches, average=average)


def build_model(config: SyCoCaConfig, seed: int) -> SyCoCa:
    """Build the model with initial weights that depend on the seed alone."""
    # PyTorch's initializers of layers know only the global generator: it is lent, and given back as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_key(seed, "model"))
        return SyCoCa(config)
