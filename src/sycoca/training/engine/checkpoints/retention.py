"""Which checkpoints stay: the newest, one every so many steps, and the best by a metric."""

import json
import logging
import math
import shutil
from pathlib import Path
from typing import NamedTuple

from sycoca.facts.metric_facts import metric_facts
from sycoca.training.checkpoint_copies import checkpoint_path, checkpoints_in
from sycoca.training.config import TrainingConfig

logger = logging.getLogger(__name__)


class Scored(NamedTuple):
    """A checkpoint and the value of ``training.keep_best`` that its step logged."""

    step: int
    path: Path
    value: float


def delete_checkpoints(folder: Path, training: TrainingConfig) -> None:
    """Delete all checkpoints but those that ``keep_checkpoints``, ``keep_every`` and ``keep_best`` keep."""
    steps = [step for step, _ in checkpoints_in(folder)]
    kept = set(steps[-training.keep_checkpoints :])
    if training.keep_every is not None:
        kept |= {step for step in steps if step % training.keep_every == 0}
    if training.keep_best is not None and (best := best_checkpoint(folder, training.keep_best)) is not None:
        kept.add(best.step)
    for step in sorted(set(steps) - kept):
        _delete(checkpoint_path(folder, step))


def best_checkpoint(folder: Path, metric: str) -> Scored | None:
    """Return the checkpoint with the best finite value of a metric, of equal ones the first; None without a value."""
    facts = metric_facts(metric)
    is_better_higher = facts is not None and facts.is_better_higher
    scored = [
        Scored(step, path, value)
        for step, path in checkpoints_in(folder)
        if (value := _value(path, metric)) is not None and math.isfinite(value)
    ]
    return max(scored, key=lambda one: one.value if is_better_higher else -one.value, default=None)


def _delete(path: Path) -> None:
    """Delete a checkpoint, or the file in its place; one that cannot be deleted is a warning, which ends no run."""
    try:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    except OSError as error:
        logger.warning(f"{path} cannot be deleted: {error.strerror}")


def _value(path: Path, metric: str) -> float | None:
    """Return the value of a metric that a checkpoint has; None where its step did not log it, or it is damaged."""
    try:
        state = json.loads((path / "state.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    match state:
        case {"metrics": {**metrics}} if isinstance(metrics.get(metric), int | float):
            return metrics[metric]
        case _:
            return None
