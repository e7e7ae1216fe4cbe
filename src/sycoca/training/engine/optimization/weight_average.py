"""Exponential moving average (EMA) of the weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sycoca.training.engine.distributed.shards import own_shard


@final
class WeightAverage:
    """The exponential moving average of a model's trainable parameters; sharded where they are."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model = model
        self._decay = decay
        self._averages = {name: parameter.detach().clone() for name, parameter in self._trainable()}

    @torch.no_grad()
    def update(self, num_updates: int, gradient_norm: Float[Tensor, ""]) -> None:
        """Update the average with the current parameters after ``num_updates`` optimizer updates.

        The decay is at most (1 + num_updates) / (10 + num_updates), so that the initial weights have little influence.
        Where the norm of the last gradient is not finite, the update was skipped, and the average stays.
        """
        weight = 1 - min(self._decay, (1 + num_updates) / (10 + num_updates))
        if gradient_norm.device.type != "cpu":
            self.move(torch.where(gradient_norm.isfinite(), weight, 0.0))  # the host does not wait
        elif gradient_norm.isfinite():
            self.move(weight)

    @torch.no_grad()
    def move(self, weight: Float[Tensor, ""] | float) -> None:
        """Move the averages towards the current parameters by a fraction of the distance."""
        for name, parameter in self._trainable():
            own_shard(self._averages[name]).lerp_(own_shard(parameter), weight)  # pyright: ignore[reportCallIssue, reportArgumentType]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Swap the averages into the model on entry, and the exact parameters back on exit."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def tensors(self) -> Mapping[str, Tensor]:
        """Return the averages by parameter name."""
        return self._averages

    def _trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, parameter) for name, parameter in self._model.named_parameters() if parameter.requires_grad)

    @torch.no_grad()
    def _swap(self) -> None:
        for name, parameter in self._trainable():
            own, average = own_shard(parameter), own_shard(self._averages[name])
            kept = own.clone()
            own.copy_(average)
            average.copy_(kept)
