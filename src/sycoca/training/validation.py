"""What is measured on held-out samples while a run goes on: losses, retrieval, quality of the patch scores."""

from collections.abc import Callable
from pathlib import Path

import torch

from sycoca.data.loader import validation_batches
from sycoca.data.samples import SampleSource
from sycoca.data.skipping import SkipLog, UsableSamples, image_problems
from sycoca.evaluation.grounding import evaluate_grounding
from sycoca.evaluation.retrieval import evaluate_retrieval
from sycoca.inference.predictor import Predictor
from sycoca.training.assembly import RunParts, weights_config
from sycoca.training.config import PretrainConfig
from sycoca.training.tasks import PretrainingTask
from sycoca.training.update import named_terms

_GROUNDING = ("mask_coverage", "grounding_average_precision")
"""What of grounding depends on the model, and not on the data alone."""

_MOST_PAIRS = 256
"""Pairs per batch: one process takes here what several share in training, and must not run out of memory."""

PREFIX = "validation_"
"""How the names of validation values begin."""


def build_validation(
    config: PretrainConfig, parts: RunParts, source: SampleSource | None, skipped: Path | None = None
) -> Callable[[], dict[str, float]] | None:
    """Return a function that measures the model as it is; None where there is nothing to measure on.

    The main process measures alone, the others wait and get no values. Samples whose images cannot be read are left
    out and named in the file ``skipped``; ValueError where they are more than the config allows.
    """
    if source is None:
        return None
    runtime = parts.updater.runtime
    usable = (
        UsableSamples(
            source,
            SkipLog(source, config.data.max_skipped_ratio, skipped),
            image_problems(source, config.training.evaluation_samples),
        )
        if runtime.is_main_rank
        else None
    )

    def validate() -> dict[str, float]:
        values: dict[str, float] = {}
        if usable is not None:
            values = validation_losses(config, parts, usable) | validation_metrics(config, parts, usable)
        runtime.barrier()
        return {f"{PREFIX}{name}": value for name, value in values.items()}

    return validate


@torch.no_grad()
def validation_losses(config: PretrainConfig, parts: RunParts, source: SampleSource) -> dict[str, float]:
    """Return the mean of every loss term over the source's batches, with the same draws every time.

    The contrastive loss depends on the size of batches: it is training's, up to 256, whatever number of processes.
    """
    runtime = parts.updater.runtime
    # A task of its own, without the other ranks, which are not here.
    task = PretrainingTask(parts.model, masking=config.masking, objectives=config.objectives)
    totals: dict[str, float] = {}
    batches = validation_batches(
        source,
        parts.tokenizer,
        config.transforms,
        config.model.image_encoder.image_size,
        config.model.text_encoder.context_length,
        batch_size=min(config.training.micro_batch_on(1), _MOST_PAIRS),
        seed=config.seed,
    )
    for batch in batches:
        with runtime.autocast():
            terms = task(runtime.to_device(batch))
        for name, term in named_terms(terms).items():
            totals[name] = totals.get(name, 0.0) + term.item() * batch.totals.num_samples
    return {name: total / len(source) for name, total in totals.items()}


def validation_metrics(config: PretrainConfig, parts: RunParts, source: SampleSource) -> dict[str, float]:
    """Return the metrics of retrieval, and of the patch scores where the described pixels are known."""
    predictor = Predictor(parts.model, parts.tokenizer, weights_config(config, parts.model))
    metrics = dict(evaluate_retrieval(predictor, source).metrics)
    if source[0].described_pixels is not None:
        grounding = evaluate_grounding(predictor, source).metrics
        metrics |= {name: grounding[name] for name in _GROUNDING}
    return metrics
