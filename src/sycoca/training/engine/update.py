"""One optimizer update: accumulate the micro-batches' gradients, clip, step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from sycoca.records import LossTerms, TrainingBatch
from sycoca.training.engine.optimization.gradients import clip_gradients
from sycoca.training.engine.runtime import Runtime
from sycoca.training.engine.task import TrainingTask


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateResult:
    """The values of an update that are logged."""

    terms: dict[str, Tensor]
    """This process's part of every unweighted loss term, summed over its micro-batches."""

    gradient_norm: Tensor
    """Norm of the whole gradient before clipping; not finite where fp16 overflowed and the update was skipped."""


@final
class Updater:
    """Updates a task's parameters: gradient accumulation, clipping, optimizer and the loss scaling of fp16."""

    def __init__(
        self, runtime: Runtime, task: TrainingTask, optimizer: torch.optim.Optimizer, *, clip_norm: float | None
    ) -> None:
        self.runtime = runtime
        self.task = task
        self.optimizer = optimizer
        self.scaler = torch.amp.GradScaler(runtime.device.type, enabled=runtime.scales_loss)
        self._clip_norm = float("inf") if clip_norm is None else clip_norm
        self._wrapped = runtime.wrap(task)

    def update(self, micro_batches: Sequence[TrainingBatch], lr: float) -> UpdateResult:
        """Update the parameters once with the gradient of all micro-batches of all processes."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["lr_scale"]
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad(), self.runtime.autocast():
            micro_batches = self.task.with_global_contrast(micro_batches, self.runtime.to_device)
        terms: dict[str, Tensor] = {}
        for number, batch in enumerate(micro_batches, start=1):
            batch_terms = self._accumulate(batch, is_last=number == len(micro_batches))
            terms = {name: terms.get(name, 0) + term for name, term in batch_terms.items()}
        gradient_norm = self._step()
        self.task.after_update()
        return UpdateResult(terms=terms, gradient_norm=gradient_norm)

    def scaler_state(self) -> dict[str, Any]:
        """Return the loss scaler's state as plain data; empty unless the precision is fp16."""
        return self.scaler.state_dict()

    def load_scaler_state(self, state: dict[str, Any]) -> None:
        """Restore a saved loss scaler; ignore it unless both runs use fp16."""
        if self.scaler.is_enabled() and state:
            self.scaler.load_state_dict(state)

    def _accumulate(self, batch: TrainingBatch, *, is_last: bool) -> dict[str, Tensor]:
        with self.runtime.accumulating(self._wrapped, is_last=is_last):
            with self.runtime.autocast():
                terms = self._wrapped(self.runtime.to_device(batch))
            self.runtime.backward(self.scaler.scale(self.task.total_loss(terms)))
        return named_terms(terms)

    def _step(self) -> Tensor:
        self.scaler.unscale_(self.optimizer)
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        norm = clip_gradients(parameters, self._clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return norm


def named_terms(terms: LossTerms) -> dict[str, Tensor]:
    """Return the loss terms that are not None by name, detached."""
    return {name: term.detach() for name, term in terms.named().items()}
