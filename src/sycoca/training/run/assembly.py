"""The parts that every run is assembled from."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from sycoca.data.loading.loader import TrainingBatches
from sycoca.data.loading.skipping import SkipLog
from sycoca.data.samples import SampleSource
from sycoca.training.config import RunConfig
from sycoca.training.engine.optimization.optimizer import build_optimizer
from sycoca.training.engine.optimization.weight_average import WeightAverage
from sycoca.training.engine.runtime import Runtime
from sycoca.training.engine.update import Updater
from sycoca.training.recipes.recipe import TrainedParts
from sycoca.worker_processes import usable_cores


@dataclass(frozen=True, kw_only=True, slots=True)
class RunParts:
    """The assembled parts of a run."""

    source: SampleSource
    """Training samples."""

    trained: TrainedParts
    """Model, tokenizer, tasks and batch maker."""

    updater: Updater
    """Performs the optimizer updates."""

    batches: TrainingBatches
    """This process's micro-batches of every step."""

    average: WeightAverage | None
    """The exponential moving average of the weights; None without one."""

    def averaged_weights(self) -> AbstractContextManager[None]:
        """Return a context in which the model holds the averaged weights, if any, for validation and saving."""
        return nullcontext() if self.average is None else self.average.in_place()


def assemble(
    config: RunConfig, source: SampleSource, trained: TrainedParts, runtime: Runtime, skip_log: SkipLog
) -> RunParts:
    """Build the optimizer, the batches and the average of the weights."""
    updater = Updater(
        runtime,
        trained.task,
        build_optimizer(trained.model, config.optimizer, trained.lr_ratios),
        clip_norm=config.training.gradient_clip_norm,
    )
    batches = TrainingBatches(
        source,
        trained.batch_maker,
        trained.weights.transforms,
        trained.model.config.image_encoder.image_size,
        seed=config.seed,
        global_batch_size=config.training.global_batch_size,
        micro_batch_size=config.training.micro_batch_on(runtime.world_size),
        # More workers than cores slow each other down; the batches do not depend on their number.
        num_workers=min(config.data.num_workers, usable_cores()),
        pin_memory=runtime.device.type == "cuda",
        cache_images=config.data.cache_images,
        skip_log=skip_log,
        mixup_alpha=trained.mixup_alpha,
        with_image_keys=trained.compares_samples,
        rank=runtime.rank,
        world_size=runtime.world_size,
    )
    decay = config.training.average_decay
    average = None if decay is None else WeightAverage(trained.model, decay)
    return RunParts(source=source, trained=trained, updater=updater, batches=batches, average=average)
