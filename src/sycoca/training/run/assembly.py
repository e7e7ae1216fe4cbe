"""The parts that every run is assembled from."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import assert_never

import torch

from sycoca.data.loading.loader import TrainingBatches
from sycoca.data.loading.order import SampleOrder, keyed_order, table_order
from sycoca.data.loading.skipping import SkipLog
from sycoca.data.samples import SampleSource
from sycoca.data.selection import is_large
from sycoca.model.adapters import add_adapters_like
from sycoca.model.sycoca import SyCoCa
from sycoca.training.config import RunConfig
from sycoca.training.data_config import OrderKind
from sycoca.training.engine.distributed.collectives import sum_count
from sycoca.training.engine.distributed.shards import whole
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
        """Return a context in which the model holds the averaged weights, if any."""
        return nullcontext() if self.average is None else self.average.in_place()

    @contextmanager
    def as_used(self, *, in_all_processes: bool) -> Iterator[TrainedParts]:
        """Context with the averaged weights, if any, in models that can be called, for validation and reports.

        Called by all processes. Where parameters are sharded, the model is a whole copy; without ``in_all_processes``
        only that of the main process has its weights.
        """
        runtime, trained = self.updater.runtime, self.trained
        with self.averaged_weights():
            if not runtime.is_sharded:
                yield trained
                return
            model = whole_copy(trained.model, has_values=in_all_processes or runtime.is_main_rank)
            trained.validation_task.model = model
            try:
                yield replace(trained, model=model)
            finally:
                trained.validation_task.model = trained.model


def assemble(
    config: RunConfig, source: SampleSource, trained: TrainedParts, runtime: Runtime, skip_log: SkipLog
) -> RunParts:
    """Shard the task where that is configured; build the optimizer, the batches and the average of the weights."""
    runtime.shard(trained.task)
    decay = config.training.average_decay
    average = None if decay is None else WeightAverage(trained.model, decay)
    updater = Updater(
        runtime,
        trained.task,
        build_optimizer(trained.model, config.optimizer, trained.lr_ratios),
        clip_norm=config.training.gradient_clip_norm,
        teacher=average,
    )
    batches = TrainingBatches(
        source,
        trained.batch_maker,
        trained.weights.transforms,
        trained.model.config.image_encoder.image_size,
        seed=config.seed,
        global_batch_size=config.training.global_batch_size,
        order=_order(config.data.order, source, config.seed),
        micro_batch_size=config.training.micro_batch_on(runtime.world_size),
        # More workers than cores slow each other down; the batches do not depend on their number.
        num_workers=min(config.data.num_workers, usable_cores()),
        pin_memory=runtime.device.type == "cuda",
        cache_images=config.data.cache_images and not is_large(source),
        skip_log=skip_log,
        mixup_alpha=trained.mixup_alpha,
        with_image_keys=trained.compares_samples,
        rank=runtime.rank,
        world_size=runtime.world_size,
        sum_over_ranks=partial(sum_count, device=runtime.device) if runtime.world_size > 1 else None,
    )
    return RunParts(source=source, trained=trained, updater=updater, batches=batches, average=average)


def _order(kind: OrderKind, source: SampleSource, seed: int) -> SampleOrder:
    match kind:
        case "keyed":
            return keyed_order(source, seed)
        case "table":
            return table_order(source, seed)
        case unknown:
            assert_never(unknown)


def whole_copy(model: SyCoCa, *, has_values: bool) -> SyCoCa:
    """Return a copy of a sharded model that is not sharded; called by all processes, one tensor at a time.

    Without ``has_values`` this process only sends its shards: the copy has no values.
    """
    with torch.device("meta"):
        copy = SyCoCa(model.config)
        add_adapters_like(copy, model)
    for name, tensor in model.state_dict().items():
        value = whole(tensor)
        if has_values:
            copy.load_state_dict({name: value}, strict=False, assign=True)
    return copy.eval()
