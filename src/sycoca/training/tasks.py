"""What is trained: a task turns a batch into loss terms. The loop knows steps, the task knows meaning."""

from collections.abc import Callable
from typing import Protocol, final, runtime_checkable

import torch
from torch import Tensor, nn

from sycoca.model.config import MaskingConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.objectives.pretraining import pretraining_losses
from sycoca.records import ImageTextBatch, LossTerms

Gather = Callable[[Tensor], Tensor]


@runtime_checkable
class TrainingTask(Protocol):
    """A module that the runtime wraps and the loop trains; its ``forward`` gives the loss terms of a batch."""

    may_leave_parameters_unused: bool
    """Whether some trainable parameters get no gradient."""

    def __call__(self, batch: ImageTextBatch) -> LossTerms:
        """Return the unweighted terms of one micro-batch."""
        ...

    def total_loss(self, terms: LossTerms) -> Tensor:
        """Return the weighted sum that is minimized."""
        ...

    def after_update(self) -> None:
        """Do what the model needs after its parameters have changed."""
        ...


@final
class PretrainingTask(nn.Module):
    """The three objectives of SyCoCa on image-text pairs."""

    def __init__(
        self, model: SyCoCa, *, masking: MaskingConfig, objectives: ObjectivesConfig, gather: Gather | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self.masking = masking
        self.objectives = objectives
        self.gather = gather if gather is not None else _alone
        # Without the contrastive objective nothing reads the temperature or the pooled features.
        self.may_leave_parameters_unused = objectives.contrastive_weight == 0

    def forward(self, batch: ImageTextBatch) -> LossTerms:
        """Return this micro-batch's share of each objective."""
        return pretraining_losses(self.model, batch, self.masking, self.objectives, gather=self.gather)

    def total_loss(self, terms: LossTerms) -> Tensor:
        """Return the weighted sum of the objectives that are switched on."""
        weighted = [
            (self.objectives.contrastive_weight, terms.contrastive),
            (self.objectives.captioning_weight, terms.captioning),
            (self.objectives.masked_image_weight, terms.masked_image),
        ]
        return torch.stack([weight * term for weight, term in weighted if term is not None]).sum()

    def after_update(self) -> None:
        """Keep the temperature in its range."""
        self.model.clamp_temperature()


def _alone(tensor: Tensor) -> Tensor:
    return tensor
