"""What is trained: a task turns a batch into loss terms. The loop knows steps, the task knows meaning."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from jaxtyping import Float
from torch import Tensor, nn

from sycoca.records import LossTerms, TrainingBatch

B = TypeVar("B", bound=TrainingBatch)


class TrainingTask(nn.Module, ABC, Generic[B]):
    """The interface between loop and model: the only thing that the runtime wraps and calls."""

    @abstractmethod
    def forward(self, batch: B) -> LossTerms:
        """Return the unweighted terms of one micro-batch: its share of the global batch's means."""

    def with_global_contrast(self, micro_batches: Sequence[B], to_device: Callable[[B], B]) -> Sequence[B]:  # noqa: ARG002 (see below)
        """Return the micro-batches of a step with what they have to know of one another; most need nothing.

        Called without gradient before the first ``forward`` of a step; those that are computed on here are moved by
        ``to_device``.
        """
        return micro_batches

    @abstractmethod
    def components(self) -> list[nn.Module]:
        """Return the parts of the model that may be compiled one by one."""

    @abstractmethod
    def leaves_parameters_unused(self) -> bool:
        """Return whether some trainable parameters get no gradient, which a distributed wrapper has to know."""

    @abstractmethod
    def total_loss(self, terms: LossTerms) -> Float[Tensor, ""]:
        """Return the weighted sum that is minimized."""

    @abstractmethod
    def after_update(self) -> None:
        """Do what the model needs after its parameters have changed."""

    @abstractmethod
    def logged_values(self) -> dict[str, float]:
        """Return what is to be logged beside the losses."""
