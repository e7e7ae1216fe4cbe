"""Steps of equal processor time: how long a step of each row takes, measured in a short pilot in one process."""

import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from sycoca.data.loading.skipping import SkipLog
from sycoca.experiments.ablation.folder import AblationFolder
from sycoca.experiments.ablation.plan import AblationPlan, PlannedRun
from sycoca.outputs.errors import LeaseHeldError
from sycoca.outputs.lease import Lease, lease_beside
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
    """Return the median processor time of a step by row: loading, losses, gradients and update."""
    with ExitStack() as stack:
        steps = {
            row.name: _steps_of(plan.config(PlannedRun(row=row.name, seed=0, steps=0), Path("pilot")), stack)
            for row in plan.recipe.rows
        }
        for step in steps.values():
            for _ in range(_WARM_UP):
                step()
        seconds: dict[str, list[float]] = {name: [] for name in steps}
        for _ in range(rounds):
            for name, step in steps.items():
                started_at = time.process_time()
                step()
                seconds[name].append(time.process_time() - started_at)
    return {name: statistics.median(own) for name, own in seconds.items()}


def _steps_of(config: PretrainConfig, stack: ExitStack) -> Callable[[], object]:
    """Return a function that takes a run's next step, without a run folder; the stack holds what it needs."""
    runtime = stack.enter_context(Runtime(config.runtime))
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    recipe = Pretraining.for_new_run(config, most_read_samples=_MOST_READ_SAMPLES)
    source = recipe.open_sources().train
    trained = recipe.build(source, RunFolder(scratch), runtime)
    parts = assemble(config, source, trained, runtime, SkipLog(source, config.data.max_skipped_ratio))
    batches = parts.batches.from_position(0)
    return lambda: parts.updater.update(next(batches), config.optimizer.peak_lr / 10)
