"""The checkpoints of a run: saved after finite steps, deleted only when a newer one has proved sound."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import final

from torch import nn

from sycoca.facts.metric_facts import metric_facts
from sycoca.outputs.lease import Lease
from sycoca.training.checkpoint_copies import checkpoint_path, contents_to_copy
from sycoca.training.config import TrainingConfig
from sycoca.training.engine.checkpoints.checkpoint import (
    TrainingState,
    load_checkpoint,
    save_checkpoint,
    set_aside_checkpoints,
    start_sharded_save,
)
from sycoca.training.engine.checkpoints.retention import Scored, best_checkpoint, delete_checkpoints
from sycoca.training.engine.checkpoints.sharded_save import ShardedSave
from sycoca.training.engine.checkpoints.soundness import newest_sound_step
from sycoca.training.engine.checkpoints.training_tensors import training_tensors
from sycoca.training.engine.optimization.finite_step import all_finite
from sycoca.training.engine.optimization.weight_average import WeightAverage
from sycoca.training.engine.stream_position import StreamPosition
from sycoca.training.engine.update import Updater

logger = logging.getLogger(__name__)


@final
class RunCheckpoints:
    """Saves, restores and deletes the checkpoints of a run; the main process alone writes, or all their shards.

    Finite weights prove little: after a step of a far too large learning rate they are finite and useless. A checkpoint
    is *confirmed* once the next step's gradient was finite. Until then the one before it stays, whatever
    ``training.keep_checkpoints`` says.
    """

    def __init__(
        self,
        folder: Path,
        training: TrainingConfig,
        model: nn.Module,
        updater: Updater,
        average: WeightAverage | None,
        lease: Lease | None,
        base_sha256: str | None,
    ) -> None:
        """``lease``: that of the run, which is checked before each write; only the main process has one.

        ``base_sha256``: that of the weights to which the trained adapters belong; None without adapters.
        """
        self._folder = folder
        self._training = training
        self._model = model
        self._updater = updater
        self._average = average
        self._lease = lease
        self._base_sha256 = base_sha256
        self._start = StreamPosition(step=0, samples_seen=0, global_batch_size=training.global_batch_size)
        self._unconfirmed: int | None = None
        self._has_warned = False
        self._pending: ShardedSave | None = None
        self._copies: Mapping[str, bytes] = {}

    def read_copies(self) -> None:
        """Read the run's own files, of which every checkpoint gets a copy, once they are those of this session."""
        if self._updater.runtime.is_main_rank:
            self._copies = contents_to_copy(self._folder.parent)

    def restore(self) -> StreamPosition:
        """Load the newest checkpoint that is not damaged and return its position; the first where there is none.

        Called by all processes; the main process checks and chooses. Raises ValueError where all are damaged.
        """
        runtime = self._updater.runtime
        step, refusal = runtime.gather_plain([_choice(self._folder)] if runtime.is_main_rank else [])[0]
        if refusal is not None:
            raise ValueError(refusal)
        if step is None:
            return self._start
        checkpoint = checkpoint_path(self._folder, step)
        parts = self._model, self._updater.optimizer, self._average
        state = load_checkpoint(checkpoint, *parts, base_sha256=self._base_sha256)
        self._updater.load_scaler_state(state.scaler)
        logger.debug("restored %s", checkpoint)
        self._unconfirmed = state.step
        self._start = replace(self._start, step=state.step, samples_seen=state.samples_seen)
        return self._start

    def are_weights_finite(self) -> bool:
        """Return whether no weight and no average of one is NaN or infinite; one pass over them.

        Called by all processes, each of which looks at its shards.
        """
        tensors = list(self._model.state_dict().values())
        is_finite = all_finite(tensors + ([] if self._average is None else list(self._average.tensors().values())))
        runtime = self._updater.runtime
        return not runtime.any_rank(not is_finite) if runtime.is_sharded else is_finite

    def save(self, step: int, logged: Mapping[str, float]) -> None:
        """Write the checkpoint of a step; called by all processes. Nothing is deleted yet, see `confirm`.

        ``logged``: the values that the step has logged, if any.
        """
        self._check_lease()
        runtime = self._updater.runtime
        if runtime.is_sharded:
            self.finish()
            self._start_sharded(self._state(step, logged))
        elif runtime.is_main_rank:
            save_checkpoint(
                self._folder,
                self._state(step, logged),
                self._model,
                self._updater.optimizer,
                average=self._average,
                copies=self._copies,
            )
        self._unconfirmed = step
        runtime.barrier()

    def finish(self) -> None:
        """Wait until the checkpoint that is being written has its name; called by all processes."""
        if self._pending is not None:
            self._pending.wait()
            self._pending = None
            self._updater.runtime.barrier()

    def confirm(self, step: int | None) -> None:
        """Delete old checkpoints once the newest is of ``step``, the last that proved sound, or of one before it."""
        if self._pending is not None and not self._pending.is_done:
            return
        if self._unconfirmed is None or step is None or step < self._unconfirmed:
            return
        self._unconfirmed = None
        if self._updater.runtime.is_main_rank:
            delete_checkpoints(self._folder, self._training)

    def best(self) -> Scored | None:
        """Return the checkpoint with the best value of ``training.keep_best``; None without that or without a value."""
        metric = self._training.keep_best
        return None if metric is None else best_checkpoint(self._folder, metric)

    def set_aside(self) -> list[Path]:
        """Rename the newest checkpoint unless it is confirmed, so that no resume takes it; return its new name.

        Those before it are confirmed: a checkpoint is saved only after a finite step.
        """
        self.finish()
        if self._unconfirmed is None or not self._updater.runtime.is_main_rank:
            return []
        return set_aside_checkpoints(self._folder, after_step=self._unconfirmed - 1)

    def _state(self, step: int, logged: Mapping[str, float]) -> TrainingState:
        return TrainingState(
            step=step,
            samples_seen=self._start.samples_after(step),
            scaler=self._updater.scaler_state(),
            metrics=self._value_of_best(step, logged),
            base_sha256=self._base_sha256,
        )

    def _start_sharded(self, state: TrainingState) -> None:
        self._pending = start_sharded_save(
            self._folder,
            state,
            training_tensors(
                self._model, self._updater.optimizer, self._average, has_base=state.base_sha256 is not None
            ),
            self._updater.runtime,
            copies=self._copies,
            check=self._check_lease,
        )

    def _check_lease(self) -> None:
        if self._lease is not None:
            self._lease.check()

    def _value_of_best(self, step: int, logged: Mapping[str, float]) -> dict[str, float]:
        metric = self._training.keep_best
        if metric is None:
            return {}
        if metric in logged:
            return {metric: logged[metric]}
        if logged and not self._has_warned:
            self._has_warned = True
            others = [name for name in logged if (facts := metric_facts(name)) and facts.is_better_higher is not None]
            logger.warning(
                f"training.keep_best: step {step:,} has logged no {metric}, so its checkpoint cannot be the best;"
                f" it has logged {', '.join(others)}"
            )
        return {}


def _choice(folder: Path) -> tuple[int | None, str | None]:
    """Return the step to resume after, None without a checkpoint, and why none can be used: all ranks must know it."""
    try:
        return newest_sound_step(folder), None
    except ValueError as error:
        return None, str(error)
