"""Memory and speed of a run, measured in a few real steps without leaving a run behind."""

import itertools
import logging
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from sycoca.data.inspection.statistics import caption_statistics
from sycoca.data.loading.skipping import SkipLog
from sycoca.model.sycoca import SyCoCa
from sycoca.records import ImageTextBatch
from sycoca.reports.first_batch import draw_first_batch
from sycoca.training.engine.limits import check_memory, device_bytes, explained_out_of_memory, gigabytes, state_bytes
from sycoca.training.engine.runtime import Runtime
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.recipes.pretraining.recipe import Pretraining
from sycoca.training.run.assembly import RunParts, assemble
from sycoca.training.run_folder import RunFolder

logger = logging.getLogger(__name__)

PICTURE_NAME = "first_batch.png"

_MAX_STEPS = 4
_MAX_SECONDS = 60.0


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

    images_per_second: float
    """Measured over real steps without the first, loading included."""

    hours: float
    """Estimated duration of all steps, without validation."""

    truncated_ratio: float
    """Fraction of the training captions that are longer than the context length."""

    picture: Path
    """Path of a picture of the first batch as the model sees it."""

    def lines(self) -> list[str]:
        """Return the results as lines of text."""
        peak = "not measured on this system" if self.peak_bytes is None else gigabytes(self.peak_bytes)
        width = max(map(len, self.parameters))
        return [
            "parameters",
            *(f"  {name:<{width}}  {number:>13,}" for name, number in self.parameters.items()),
            f"memory: {peak} of {gigabytes(self.device_bytes)} at the peak with {self.micro_batch_size:,} pairs per"
            f" forward pass; weights, gradients and optimizer alone {gigabytes(self.estimated_bytes)}",
            f"speed: {self.images_per_second:,.1f} images per second, {self.hours:,.2f} hours for the run",
            f"captions truncated at the context length: {self.truncated_ratio:.2%}",
            f"first batch: {self.picture}",
        ]


def dry_run(config: PretrainConfig) -> DryRunReport:
    """Take a few real steps and return the measured memory and speed.

    A picture of the first batch is written into the run folder, which remains free for the run itself. Raises
    ValueError in a run of several processes.
    """
    recipe = Pretraining.for_new_run(config)
    config = recipe.config
    source = recipe.open_sources().train
    picture = Path(config.out) / PICTURE_NAME
    picture.parent.mkdir(parents=True, exist_ok=True)
    with Runtime(config.runtime) as runtime, tempfile.TemporaryDirectory() as scratch:
        if runtime.world_size > 1:
            raise ValueError("a dry run measures one process; start it without torchrun")
        logger.info(f"building tokenizer and model for {len(source):,} samples")
        trained = recipe.build(source, RunFolder(Path(scratch)), runtime)
        for line in recipe.summary(trained):
            logger.info(line)
        for line in recipe.notices(trained):
            logger.warning(line)
        skip_log = SkipLog(source, config.data.max_skipped_ratio)
        parts = assemble(config, source, trained, runtime, skip_log)
        micro_batch_size = config.training.micro_batch_on(runtime.world_size)
        check_memory(config, trained.model, runtime.device, micro_batch_size)
        first_batch = next(parts.batches.from_step(0))[0]
        assert isinstance(first_batch, ImageTextBatch)
        draw_first_batch(first_batch, trained.tokenizer, config.transforms, picture)
        logger.info("taking a few steps")
        with explained_out_of_memory(micro_batch_size, runtime.device):
            images_per_second = _speed(config, parts)
        statistics = caption_statistics(source, trained.tokenizer, config.model.text_encoder.context_length)
        return DryRunReport(
            parameters=component_parameters(trained.model),
            estimated_bytes=state_bytes(trained.model, config.optimizer),
            peak_bytes=_peak_bytes(runtime.device),
            device_bytes=device_bytes(runtime.device),
            micro_batch_size=micro_batch_size,
            images_per_second=images_per_second,
            hours=config.training.steps * config.training.global_batch_size / images_per_second / 3600,
            truncated_ratio=statistics.truncated_ratio,
            picture=picture,
        )


def component_parameters(model: SyCoCa) -> dict[str, int]:
    """Return the number of parameters of every component, and in total as ``all``."""
    counts = {name: sum(p.numel() for p in module.parameters()) for name, module in model.named_children()}
    return {**counts, "all": model.num_parameters}


def _speed(config: PretrainConfig, parts: RunParts) -> float:
    """Return images per second, without the first step, which allocates and compiles."""
    lr = config.optimizer.peak_lr / 1000
    num_steps, started_at, seconds = 0, time.perf_counter(), 0.0
    for micro_batches in itertools.islice(parts.batches.from_step(0), _MAX_STEPS):
        result = parts.updater.update(micro_batches, lr)
        result.gradient_norm.item()  # synchronizes with the device
        if num_steps == 0:
            started_at = time.perf_counter()
        num_steps += 1
        seconds = time.perf_counter() - started_at
        if num_steps > 1 and seconds > _MAX_SECONDS:
            break
    return (num_steps - 1) * config.training.global_batch_size / seconds


def _peak_bytes(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in kibibytes
