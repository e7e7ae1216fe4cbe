"""One optimizer update: accumulate the micro-batches' gradients, clip, step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from sycoca.records import LossTerms, TrainingBatch
from sycoca.training.engine.optimization.finite_step import step_if_finite
from sycoca.training.engine.optimization.gradients import clip_gradients
from sycoca.training.engine.optimization.weight_average import WeightAverage
from sycoca.training.engine.runtime import Runtime
from sycoca.training.engine.task import TrainingTask


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateResult:
    """The values of an update that are logged."""

    terms: dict[str, Tensor]
    """This process's part of every unweighted loss term, summed over its micro-batches."""

    loss: Tensor
    """This process's part of the weighted sum of the terms."""

    gradient_norm: Tensor
    """Norm of the whole gradient before clipping, the same on all processes; where it is not finite, the update was
    skipped."""


@final
class Updater:
    """Updates a task's parameters: gradient accumulation, clipping, optimizer and the loss scaling of fp16.

    A ``teacher`` is the average of the weights, for tasks whose targets come from it.
    """

    def __init__(
        self,
        runtime: Runtime,
        task: TrainingTask,
        optimizer: torch.optim.Optimizer,
        *,
        clip_norm: float | None,
        teacher: WeightAverage | None = None,
    ) -> None:
        self.runtime = runtime
        self.task = task
        self.optimizer = optimizer
        self.scaler = torch.amp.GradScaler(runtime.device.type, enabled=runtime.scales_loss)
        self._clip_norm = float("inf") if clip_norm is None else clip_norm
        self.teacher = teacher
        self._wrapped = runtime.wrap(task)

    def update(self, micro_batches: Sequence[TrainingBatch], lr: float) -> UpdateResult:
        """Update the parameters once with the gradient of all micro-batches of all processes."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["lr_scale"]
        self.optimizer.zero_grad(set_to_none=True)
        micro_batches = self._prepared(micro_batches)
        terms: dict[str, Tensor] = {}
        losses: list[Tensor] = []
        for number, batch in enumerate(micro_batches, start=1):
            batch_terms, loss = self._accumulate(batch, is_last=number == len(micro_batches))
            terms = {name: terms.get(name, 0) + term for name, term in batch_terms.items()}
            losses.append(loss)
        gradient_norm = self._step()
        self.task.after_update()
        return UpdateResult(terms=terms, loss=torch.stack(losses).sum(), gradient_norm=gradient_norm)

    @torch.no_grad()
    def loss(self, micro_batches: Sequence[TrainingBatch]) -> Tensor:
        """Return this process's part of the loss of a step's micro-batches with the present weights."""
        micro_batches = self._prepared(micro_batches)
        with self.runtime.autocast():
            terms = [self.task(self.runtime.to_device(batch)) for batch in micro_batches]
        self.runtime.free_gathered(self.task)
        return torch.stack([self.task.total_loss(one) for one in terms]).sum()

    def is_failure(self, loss: float, gradient_norm: float) -> bool:
        """Return whether a step failed: its loss or its gradient is not finite.

        An fp16 gradient that overflows is not a failure while the loss scale can still be lowered.
        """
        if not math.isfinite(loss):
            return True
        if math.isfinite(gradient_norm):
            return False
        can_lower_scale = self.scaler.is_enabled() and self.scaler.get_scale() >= 1
        return not can_lower_scale

    def scaler_state(self) -> dict[str, Any]:
        """Return the loss scaler's state as plain data; empty unless the precision is fp16."""
        return self.scaler.state_dict()

    def load_scaler_state(self, state: dict[str, Any]) -> None:
        """Restore a saved loss scaler; ignore it unless both runs use fp16."""
        if self.scaler.is_enabled() and state:
            self.scaler.load_state_dict(state)

    @torch.no_grad()
    def _prepared(self, micro_batches: Sequence[TrainingBatch]) -> Sequence[TrainingBatch]:
        """Return the micro-batches with what passes without gradient over the whole step have found."""
        if self.task.needs_teacher(micro_batches):
            micro_batches = self._with_teacher(micro_batches)
        with self.runtime.autocast():
            return self.task.with_global_contrast(micro_batches, self.runtime.to_device)

    def _with_teacher(self, micro_batches: Sequence[TrainingBatch]) -> Sequence[TrainingBatch]:
        if self.teacher is None:
            raise ValueError("the objectives need a teacher, the average of the weights: set training.average_decay")
        # Autocast keeps rounded weights until its block ends: those of the teacher must be gone before the next pass.
        with self.teacher.in_place(), self.runtime.autocast():
            taught = self.task.with_teacher(micro_batches, self.runtime.to_device)
            self.runtime.free_gathered(self.task)  # the averages; the task's own weights are gathered next
        return taught

    def _accumulate(self, batch: TrainingBatch, *, is_last: bool) -> tuple[dict[str, Tensor], Tensor]:
        with self.runtime.accumulating(self._wrapped, is_last=is_last):
            with self.runtime.autocast():
                terms = self._wrapped(self.runtime.to_device(batch))
            loss = self.task.total_loss(terms)
            # A loss that is not finite may have finite gradients; then the update must be skipped as well.
            factor = torch.where(loss.detach().isfinite(), 1.0, math.nan)
            self.runtime.backward(self.scaler.scale(loss * factor))
        return named_terms(terms), loss.detach()

    def _step(self) -> Tensor:
        self.scaler.unscale_(self.optimizer)
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        norm = clip_gradients(parameters, self._clip_norm)
        if self.scaler.is_enabled():
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            step_if_finite(self.optimizer, norm)
        return norm


def named_terms(terms: LossTerms) -> dict[str, Tensor]:
    """Return the loss terms that are not None by name, detached."""
    return {name: term.detach() for name, term in terms.named().items()}
