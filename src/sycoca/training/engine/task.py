"""The interface of what is trained: a task turns a batch into loss terms."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sycoca.facts.objective_facts import ObjectiveName
from sycoca.model.sycoca import SyCoCa
from sycoca.records import LossTerms, TrainingBatch, TrainingProgress

B = TypeVar("B", bound=TrainingBatch)


class TrainingTask(nn.Module, ABC, Generic[B]):
    """Model and objectives behind one ``forward``; the only module that the runtime wraps (compile, DDP, FSDP2)."""

    model: SyCoCa
    """The trained model."""

    @abstractmethod
    def forward(self, batch: B) -> LossTerms:
        """Return the unweighted loss terms of one micro-batch, divided by the counts of the global batch."""

    def at(self, micro_batches: Sequence[B], progress: TrainingProgress) -> Sequence[B]:  # noqa: ARG002 (see below)
        """Return the micro-batches of a step with the progress of training, for tasks whose losses depend on it."""
        return micro_batches

    def needs_teacher(self, micro_batches: Sequence[B]) -> bool:  # noqa: ARG002 (see below)
        """Return whether a step's targets come from the model with averaged weights."""
        return False

    def with_teacher(self, micro_batches: Sequence[B], to_device: Callable[[B], B]) -> Sequence[B]:  # noqa: ARG002 (see below)
        """Return the micro-batches of a step with what the model makes of them, whose weights are the averages now.

        Called as `with_global_contrast` is, for steps that need it.
        """
        return micro_batches

    def with_global_contrast(self, micro_batches: Sequence[B], to_device: Callable[[B], B]) -> Sequence[B]:  # noqa: ARG002 (see below)
        """Return the micro-batches of a step with the contrastive gradients of the whole step attached (GradCache).

        Called without gradient before the first ``forward`` of a step. ``to_device`` moves a micro-batch to the
        device. Tasks without a contrastive objective return the micro-batches unchanged.
        """
        return micro_batches

    def held_out_losses(self, batch: B) -> dict[str, Tensor]:
        """Return the losses of a held-out batch by name, as the model is used; by default those of ``forward``."""
        return dict(self(batch).named())

    @abstractmethod
    def components(self) -> list[nn.Module]:
        """Return the modules that torch.compile compiles one by one."""

    @abstractmethod
    def leaves_parameters_unused(self) -> bool:
        """Return whether some trainable parameters get no gradient (DDP's ``find_unused_parameters``)."""

    @abstractmethod
    def loss_weights(self) -> Mapping[ObjectiveName, float]:
        """Return the weights of the loss terms that ``forward`` returns."""

    def total_loss(self, terms: LossTerms) -> Float[Tensor, ""]:
        """Return the weighted sum of the loss terms, which is minimized.

        Raises ValueError for a term without a weight: it would be logged and never trained.
        """
        weights, named = self.loss_weights(), terms.named()
        unweighted = named.keys() - weights.keys()
        if unweighted:
            raise ValueError(f"{type(self).__name__} gives no weight to the loss terms {', '.join(sorted(unweighted))}")
        return torch.stack([weights[name] * term for name, term in named.items()]).sum()

    @abstractmethod
    def after_update(self) -> None:
        """Update what depends on the parameters after an optimizer step, such as the clamped temperature."""

    @abstractmethod
    def logged_values(self) -> dict[str, float]:
        """Return values to log beside the losses; called by all processes."""
