"""A running mean of the weights, which often generalizes better than the weights themselves."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor, nn


@final
class WeightAverage:
    """The exponential moving average of a model's parameters that learn (EMA)."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model = model
        self._decay = decay
        self._means = {name: parameter.detach().clone() for name, parameter in self._learning()}

    @torch.no_grad()
    def update(self, num_updates: int) -> None:
        """Take the parameters in, after so many updates of them.

        The decay is (1 + updates) / (10 + updates) as long as that is less: the first weights are soon forgotten.
        """
        decay = min(self._decay, (1 + num_updates) / (10 + num_updates))
        for name, parameter in self._learning():
            self._means[name].lerp_(parameter, 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the means in the place of the parameters, and these back afterwards, to the last bit."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def tensors(self) -> Mapping[str, Tensor]:
        """Return the means by the names of the parameters."""
        return self._means

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on with saved means. Raises ValueError where they are of another model."""
        if tensors.keys() != self._means.keys():
            raise ValueError("the saved mean of the weights is of another model")
        for name, mean in self._means.items():
            mean.copy_(tensors[name])

    def _learning(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, parameter) for name, parameter in self._model.named_parameters() if parameter.requires_grad)

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, parameter in self._learning():
            kept = parameter.clone()
            parameter.copy_(self._means[name])
            self._means[name].copy_(kept)
