"""What every run is put together from, whatever is trained."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sycoca.data.examples import Examples
from sycoca.data.loader import TrainingBatches
from sycoca.data.samples import SampleSource
from sycoca.data.skipping import SkipLog
from sycoca.model.config import SyCoCaConfig
from sycoca.model.patches import resize_positions
from sycoca.model.sycoca import SyCoCa
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.randomness import derive_key
from sycoca.training.config import RunConfig
from sycoca.training.limits import usable_cores
from sycoca.training.optimizer import build_optimizer
from sycoca.training.runtime import Runtime
from sycoca.training.tasks import TrainingTask
from sycoca.training.update import Updater
from sycoca.training.weight_average import WeightAverage
from sycoca.weights.config import WeightsConfig

_PATCH_POSITIONS = {"image_encoder.positions", "image_decoder.positions"}
"""Names of the tensors with one row per patch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """The data of a run."""

    train: SampleSource
    """What is trained on."""

    validation: SampleSource | None
    """What is measured on, if anything."""

    train_spec: str | None = None
    """The SPEC that the training data was opened by; None where a caller gave a source."""

    validation_spec: str | None = None
    """The same for what is measured on."""


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

    lr_ratios: Mapping[str, float] = field(default_factory=dict)
    """Shares of the learning rate by names of parameters, beside those of layers; others have all of it."""


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
        build_optimizer(trained.model, config.optimizer, trained.lr_ratios),
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
        # More of them than cores stand in each other's way; what they read does not depend on their number.
        num_workers=min(config.data.num_workers, usable_cores()),
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


def fill_model(model: SyCoCa, tensors: Mapping[str, Tensor]) -> frozenset[str]:
    """Fill the model with those tensors of weights for which it has a place, and return their names.

    Positions of patches are interpolated to its grid. Raises ValueError where a tensor has another shape, and where
    there is a place for none.
    """
    own = model.state_dict()
    shared = {name: tensor.to(own[name].dtype) for name, tensor in tensors.items() if name in own}
    for name in _PATCH_POSITIONS & shared.keys():
        shared[name] = resize_positions(shared[name], model.config.image_encoder.num_patches)
    for name, tensor in shared.items():
        if tensor.shape != own[name].shape:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)} in the weights and {tuple(own[name].shape)} in the model"
            )
    if not shared:
        raise ValueError("the model has a place for none of the weights' tensors: nothing would be loaded")
    model.load_state_dict(own | shared)
    return frozenset(shared)
