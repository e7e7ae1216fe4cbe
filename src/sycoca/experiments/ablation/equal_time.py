"""Steps of equal processor time: how long a step of each row takes, measured in a short pilot in one process."""

import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from sycoca.data.loading.skipping import SkipLog
from sycoca.data.samples import SampleSource
from sycoca.data.selection import SpreadSamples, is_large
from sycoca.experiments.ablation.folder import AblationFolder
from sycoca.experiments.ablation.plan import AblationPlan, PlannedRun
from sycoca.objectives.schedules import StepKind, kinds_of_steps
from sycoca.outputs.errors import LeaseHeldError
from sycoca.outputs.lease import Lease, lease_beside
from sycoca.records import TrainingProgress
from sycoca.training.engine.runtime import Runtime
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.recipes.pretraining.recipe import Pretraining
from sycoca.training.run.assembly import assemble
from sycoca.training.run_folder import RunFolder

logger = logging.getLogger(__name__)

PILOT_ROUNDS = 40
"""Steps of each row that are timed, in turns, so that whatever slows the machine down slows all rows down."""

_WARM_UP = 3
"""Steps before them."""

_MOST_READ_SAMPLES = 2000
"""Samples whose texts the pilot's tokenizer is trained on, which hardly changes how long a step takes."""

_SECONDS_BETWEEN_LOOKS = 2.0


def agreed_steps(plan: AblationPlan, folder: AblationFolder) -> dict[str, int]:
    """Return the steps of equal processor time by row; measured by the first process, and read by all others."""
    while True:
        found = folder.read_steps(plan)
        if found is not None:
            return found
        try:
            with Lease(lease_beside(folder.steps), folder.steps, waits=False):
                if folder.read_steps(plan) is None:
                    logger.info("measuring the processor time of a step of each row")
                    seconds = seconds_per_step(plan, PILOT_ROUNDS)
                    folder.write_steps(equal_steps(plan, seconds), seconds)
        except LeaseHeldError:
            time.sleep(_SECONDS_BETWEEN_LOOKS)


def equal_steps(plan: AblationPlan, seconds: Mapping[str, float]) -> dict[str, int]:
    """Return by row the steps that take the processor time of the baseline's, at least one."""
    baseline = plan.recipe.baseline
    budget = plan.steps_of(baseline) * seconds[baseline]
    return {
        row.name: plan.steps_of(baseline) if row.name == baseline else max(1, round(budget / seconds[row.name]))
        for row in plan.recipe.rows
    }


def seconds_per_step(plan: AblationPlan, rounds: int) -> dict[str, float]:
    """Return the mean processor time of a step by row: loading, losses, gradients and update.

    Where a row has several kinds of steps (such as some without TG-MIM), each counts as often as it occurs.
    """
    with ExitStack() as stack:
        configs = {
            row.name: plan.config(PlannedRun(row=row.name, seed=0, steps=0), Path("pilot")) for row in plan.recipe.rows
        }
        pilots = {name: _pilot_of(config, _WARM_UP + rounds, stack) for name, config in configs.items()}
        timed = [(name, kind) for name, pilot in pilots.items() for kind in pilot.kinds]
        for name, kind in timed:
            for _ in range(_WARM_UP):
                pilots[name].take(kind.example)
        seconds: dict[tuple[str, StepKind], list[float]] = {one: [] for one in timed}
        for _ in range(rounds):
            for name, kind in timed:
                started_at = time.process_time()
                pilots[name].take(kind.example)
                seconds[name, kind].append(time.process_time() - started_at)
    return {
        name: sum(kind.share * statistics.fmean(seconds[name, kind]) for kind in pilot.kinds)
        for name, pilot in pilots.items()
    }


class _Pilot(NamedTuple):
    """What takes the steps of a row, for their time."""

    kinds: tuple[StepKind, ...]
    """The kinds of steps of its run."""

    take: Callable[[TrainingProgress], object]
    """Takes the next step as if training were so far."""


def _pilot_of(config: PretrainConfig, steps_per_kind: int, stack: ExitStack) -> _Pilot:
    """Return the pilot of a run, without a run folder; the stack holds what it needs."""
    kinds = kinds_of_steps(config.masking, config.objectives, config.training.steps)
    runtime = stack.enter_context(Runtime(config.runtime))
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    recipe = Pretraining.for_new_run(config, most_read_samples=_MOST_READ_SAMPLES)
    source = recipe.open_sources().train
    trained = recipe.build(source, RunFolder(scratch), runtime)
    seen = _seen_as_often(config, source, num_steps=steps_per_kind * len(kinds))
    parts = assemble(config, seen, trained, runtime, SkipLog(seen, config.data.max_skipped_ratio))
    batches, updater = parts.batches.from_position(0), parts.updater

    def take(progress: TrainingProgress) -> object:
        return updater.update(updater.task.at(next(batches), progress), config.optimizer.peak_lr / 10)

    return _Pilot(kinds, take)


def _seen_as_often(config: PretrainConfig, source: SampleSource, *, num_steps: int) -> SampleSource:
    """Return so many samples that so many steps see each as often as training sees those of the whole source.

    Images that stay in memory are read once. In a short pilot on all of them nearly every step would read new ones,
    while most steps of a training over many epochs read none.
    """
    if not config.data.cache_images or is_large(source):
        return source
    number = max(config.training.global_batch_size, round(len(source) * num_steps / config.training.steps))
    # The first ones, since captions are looked up by the index in the whole source.
    return SpreadSamples(source, list(range(min(number, len(source)))))
