"""Memory and speed of a run, measured in a few real steps without leaving a run behind."""

import logging
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

import torch

from sycoca.data.loading.skipping import SkipLog
from sycoca.model.sycoca import SyCoCa
from sycoca.outputs.output import Output
from sycoca.records import BatchTotals, ImageTextBatch, TrainingBatch, pixels_of
from sycoca.reports.first_batch import draw_first_batch
from sycoca.training.engine.limits import check_memory, device_bytes, explained_out_of_memory, gigabytes, state_bytes
from sycoca.training.engine.runtime import Runtime
from sycoca.training.recipes.notices import Truncation
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.recipes.pretraining.recipe import Pretraining
from sycoca.training.recipes.pretraining.vocabulary import Vocabulary
from sycoca.training.run.assembly import RunParts, assemble
from sycoca.training.run.cached_features import cached_bytes, with_features
from sycoca.training.run_folder import RunFolder

logger = logging.getLogger(__name__)

PICTURE_NAME = "first_batch.png"

MOST_READ_SAMPLES = 10_000
"""Samples whose texts are read, spread evenly over the data: all of a large set would take minutes."""

_MAX_STEPS = 3
_MAX_SECONDS = 10.0
_WARM_UP_PAIRS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredSpeed:
    """The speed of training."""

    images_per_second: float
    """Loading included."""

    num_steps: int
    """Steps over which it was measured."""

    warm_up: str
    """What came before them."""

    has_steps_without_masked_image: bool = False
    """Whether the run has steps without TG-MIM, which are faster; the measured ones have it."""

    def line(self, hours: float) -> str:
        """Return speed and duration of the run, and what was measured."""
        steps = "1 step" if self.num_steps == 1 else f"{self.num_steps} steps"
        return (
            f"speed: {self.images_per_second:,.1f} images per second, measured over {steps} after {self.warm_up}"
            + (" with TG-MIM; at most" if self.has_steps_without_masked_image else ";")
            + f" {hours:,.2f} hours for the run, without validation"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class DryRunReport:
    """The results of a dry run."""

    parameters: dict[str, int]
    """Number of parameters by component."""

    estimated_bytes: int
    """Estimate for weights, gradients and optimizer state, without activations and data."""

    peak_bytes: int | None
    """Measured peak memory of the GPU, or of the process on a CPU; None where the system does not report it."""

    device_bytes: int
    """Memory of the device."""

    micro_batch_size: int
    """Pairs per forward pass; the peak depends on it."""

    speed: MeasuredSpeed
    """Measured over real steps."""

    hours: float
    """Estimated duration of all steps, without validation."""

    vocabulary: Vocabulary
    """The vocabulary, on which the number of parameters depends."""

    truncation: Truncation
    """Training captions that are longer than the context length, among those that were read."""

    num_samples: int
    """Samples of the training data."""

    cached_bytes: int | None
    """Size of the cached features; None where none are cached."""

    picture: Path
    """Path of a picture of the first batch as the model sees it."""

    def lines(self) -> list[str]:
        """Return the results as lines of text."""
        peak = "not measured on this system" if self.peak_bytes is None else gigabytes(self.peak_bytes)
        width = max(map(len, self.parameters))
        truncation = self.truncation
        read = min(self.num_samples, MOST_READ_SAMPLES)
        of_samples = "" if read == self.num_samples else f" of {read:,} of {self.num_samples:,} samples"
        return [
            "parameters",
            *(f"  {name:<{width}}  {number:>13,}" for name, number in self.parameters.items()),
            self.vocabulary.line(self.num_samples),
            f"memory: {peak} of {gigabytes(self.device_bytes)} at the peak with {self.micro_batch_size:,} pairs per"
            f" forward pass; weights, gradients and optimizer alone {gigabytes(self.estimated_bytes)}",
            *self._cache_lines(),
            self.speed.line(self.hours),
            f"captions truncated at the context length: {truncation.ratio:.2%} of the {truncation.num_captions:,}"
            f" captions{of_samples}",
            f"first batch: {self.picture}",
        ]

    def _cache_lines(self) -> Iterator[str]:
        if self.cached_bytes is not None:
            yield f"cached features: {gigabytes(self.cached_bytes)}; they are computed before the first step"


def dry_run(config: PretrainConfig) -> DryRunReport:
    """Take a few real steps, or one where that takes long, and return the measured memory and speed.

    Of a large set only the texts of some samples are read. A picture of the first batch is written into the run folder,
    which remains free for the run itself. Raises ValueError in a run of several processes.
    """
    picture = Path(config.out) / PICTURE_NAME
    Output(path=picture, overwrite=True).check()
    recipe = Pretraining.for_new_run(config, most_read_samples=MOST_READ_SAMPLES)
    config = recipe.config
    source = recipe.open_sources().train
    picture.parent.mkdir(parents=True, exist_ok=True)
    with Runtime(config.runtime) as runtime, tempfile.TemporaryDirectory() as scratch:
        if runtime.world_size > 1:
            raise ValueError("a dry run measures one process; start it without torchrun")
        logger.info(f"building tokenizer and model for {len(source):,} samples")
        trained = recipe.build(source, RunFolder(Path(scratch)), runtime)
        assert recipe.vocabulary is not None, "the recipe has been built"
        for line in recipe.summary(trained):
            logger.info(line)
        for line in recipe.notices(trained):
            logger.warning(line)
        parts = assemble(config, source, trained, runtime, SkipLog(source, config.data.max_skipped_ratio))
        micro_batch_size = config.training.micro_batch_on(runtime.world_size)
        check_memory(config, trained.model, runtime.device, micro_batch_size)
        steps = parts.batches.from_position(0)
        first = next(steps)
        assert isinstance(first[0], ImageTextBatch)
        draw_first_batch(first[0], trained.tokenizer, config.transforms, picture)
        if config.data.cached_views is not None:
            steps = repeat([with_features(batch, trained.model, runtime) for batch in first])
        logger.info("taking a few steps")
        with explained_out_of_memory(micro_batch_size, runtime.device):
            speed = _measured_speed(config, parts, first, steps)
        return DryRunReport(
            parameters=component_parameters(trained.model),
            estimated_bytes=state_bytes(trained.model, config.optimizer),
            peak_bytes=_peak_bytes(runtime.device),
            device_bytes=device_bytes(runtime.device),
            micro_batch_size=micro_batch_size,
            speed=speed,
            hours=config.training.steps * config.training.global_batch_size / speed.images_per_second / 3600,
            vocabulary=recipe.vocabulary,
            truncation=recipe.truncation(trained),
            num_samples=len(source),
            cached_bytes=cached_bytes(config, trained.model, len(source)),
            picture=picture,
        )


def component_parameters(model: SyCoCa) -> dict[str, int]:
    """Return the number of parameters of every component, and in total as ``all``."""
    counts = {name: sum(p.numel() for p in module.parameters()) for name, module in model.named_children()}
    return {**counts, "all": model.num_parameters}


def _measured_speed(
    config: PretrainConfig, parts: RunParts, first: list[TrainingBatch], steps: Iterator[list[TrainingBatch]]
) -> MeasuredSpeed:
    """Return the speed over the steps after the first batch, or where one takes long, over that alone.

    Before it comes an update on some of the ``first`` pairs, which allocates gradients and optimizer state and loads
    kernels. With torch.compile it is the whole first batch, whose compilation must not count. Cached features are those
    of the first batch, again and again.
    """
    lr = config.optimizer.peak_lr / 1000
    is_compiled = config.runtime.compile
    _update(parts, first if is_compiled else [_few_pairs(first[0])], lr)
    num_steps, started_at, seconds = 0, time.perf_counter(), 0.0
    while num_steps < _MAX_STEPS and seconds < _MAX_SECONDS:
        _update(parts, next(steps), lr)
        num_steps += 1
        seconds = time.perf_counter() - started_at
    return MeasuredSpeed(
        images_per_second=num_steps * config.training.global_batch_size / seconds,
        num_steps=num_steps,
        warm_up="a first one, which compiles" if is_compiled else f"an update on {_WARM_UP_PAIRS} pairs",
        has_steps_without_masked_image=config.objectives.has_steps_without_masked_image,
    )


def _update(parts: RunParts, micro_batches: Sequence[TrainingBatch], lr: float) -> None:
    result = parts.updater.update(micro_batches, lr)
    result.gradient_norm.item()  # synchronizes with the device


def _few_pairs(batch: TrainingBatch) -> ImageTextBatch:
    """Return a batch of the first pairs alone."""
    assert isinstance(batch, ImageTextBatch)
    few = slice(_WARM_UP_PAIRS)
    is_padding = batch.is_padding[few]
    num_pairs, num_tokens = len(is_padding), int((~is_padding).sum())
    return replace(
        batch,
        images=pixels_of(batch.images)[few],
        tokens=batch.tokens[few],
        is_padding=is_padding,
        draw_keys=batch.draw_keys[few],
        totals=BatchTotals(num_samples=num_pairs, num_labels=num_tokens - num_pairs),
        num_tokens=num_tokens,
        sample_keys=None if batch.sample_keys is None else batch.sample_keys[few],
        more_captions=None,
    )


def _peak_bytes(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in kibibytes
