"""Validation during training: losses and the task's metrics on held-out samples."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

import torch

from sycoca.data.loading.loader import validation_batches
from sycoca.data.loading.skipping import SkipLog, UsableSamples, image_problems, read_skipped
from sycoca.data.samples import SampleSource, skipped_samples
from sycoca.evaluation.sharding import Sharding
from sycoca.facts.metric_facts import VALIDATION
from sycoca.facts.objective_facts import AVERAGED_OVER_LABELS
from sycoca.inference.predictor import Predictor
from sycoca.records import BatchTotals
from sycoca.training.config import RunConfig
from sycoca.training.recipes.recipe import Recipe
from sycoca.training.run.assembly import RunParts
from sycoca.unusable import SkippedSample

_MAX_BATCH_SIZE = 256
"""Largest batch: a process alone must not run out of memory where several share a batch in training."""


def build_validation(
    recipe: Recipe, parts: RunParts, source: SampleSource | None, skipped: Path | None = None
) -> Callable[[], dict[str, float]] | None:
    """Return a function that computes the validation values; None without validation data.

    The samples are sharded over the processes, and all get the same values. Samples with unreadable images are skipped
    and listed in the file ``skipped``; raises ValueError where they exceed ``data.max_skipped_ratio``.
    """
    if source is None:
        return None
    config, sharding = recipe.config, parts.updater.runtime.sharding()
    usable = _usable(config, source, sharding, skipped)
    prepared = recipe.prepared(usable)

    def validate() -> dict[str, float]:
        with parts.as_used(in_all_processes=True) as trained:
            predictor = Predictor(trained.model, trained.tokenizer, trained.weights)
            values = validation_losses(config, parts, prepared, sharding) | recipe.measure(predictor, usable, sharding)
        return {f"{VALIDATION}{name}": value for name, value in values.items()}

    return validate


@torch.no_grad()
def validation_losses(config: RunConfig, parts: RunParts, source: SampleSource, sharding: Sharding) -> dict[str, float]:
    """Return the mean of every loss over the source, see `held_out_losses`, with the same random masks every time.

    That of captioning is a mean over all target tokens, that of VQA over all questions, the others over samples. The
    contrastive loss depends on the batch size: it is that of training, at most 256, for any number of processes.
    """
    trained, runtime = parts.trained, parts.updater.runtime
    batch_size = validation_batch_size(config)
    batches = validation_batches(
        source,
        trained.batch_maker,
        trained.weights.transforms,
        trained.model.config.image_encoder.image_size,
        sharding.own(math.ceil(len(source) / batch_size)),
        batch_size=batch_size,
        seed=config.seed,
    )
    of_batches: list[tuple[str, float, int]] = []
    for batch in batches:
        with runtime.autocast():
            losses = trained.validation_task.held_out_losses(runtime.to_device(batch))
        of_batches += ((name, loss.item(), _num_averaged(name, batch.totals)) for name, loss in losses.items())
    return _means(sharding.join_plain(of_batches))


def _num_averaged(loss: str, totals: BatchTotals) -> int:
    """Return over how many tokens, questions or samples the loss of a batch is a mean."""
    return int(totals.num_labels) if loss in AVERAGED_OVER_LABELS else totals.num_samples


def _means(of_batches: Iterable[tuple[str, float, int]]) -> dict[str, float]:
    """Return the mean of every loss, given its means in batches, and over how many each of those is taken."""
    sums: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    for name, mean, count in of_batches:
        sums[name] += mean * count
        counts[name] += count
    return {name: sums[name] / counts[name] for name in sums}


def validation_batch_size(config: RunConfig) -> int:
    """Return the number of pairs among which the held-out contrastive loss compares."""
    return min(config.training.micro_batch_on(1), _MAX_BATCH_SIZE)


def validation_batch_sizes(config: RunConfig, num_samples: int) -> list[int]:
    """Return the sizes of the batches of so many held-out samples, of which the last may be smaller."""
    size = validation_batch_size(config)
    return [min(size, num_samples - start) for start in range(0, num_samples, size)]


def num_chosen(config: RunConfig, source: SampleSource) -> int:
    """Return how many samples validation reads."""
    return min(config.training.evaluation_samples, len(source))


def num_validated(config: RunConfig, source: SampleSource, skipped: Path) -> int:
    """Return how many samples validation measures: those that it reads, without those that ``skipped`` names.

    Samples that the source itself has left out are in that file, too, and were never among those that are read.
    """
    left_out = {one.name for one in skipped_samples(source)}
    lost = {one.name for one in read_skipped(skipped) if not one.image_stays}
    return num_chosen(config, source) - len(lost - left_out)


def _usable(config: RunConfig, source: SampleSource, sharding: Sharding, skipped: Path | None) -> UsableSamples:
    own_problems = image_problems(source, sharding.own(num_chosen(config, source)))
    problems = sharding.join_plain([None if one is None else asdict(one) for one in own_problems])
    path = skipped if sharding.rank == 0 else None
    log = SkipLog(source, config.data.max_skipped_ratio, path, resumes=False)
    return UsableSamples(source, log, (None if one is None else SkippedSample(**one) for one in problems))
