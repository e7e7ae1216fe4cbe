"""The optimizers: titles, and memory per parameter. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

OptimizerKind = Literal["adamw"]

_BYTES_OF_FLOAT32 = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerFacts:
    """An optimizer."""

    title: str
    """Name as in its paper."""

    state_per_parameter: int
    """Number of float32 state values per trained parameter."""

    @property
    def bytes_per_parameter(self) -> int:
        """Bytes per trained parameter: the weight, its gradient and the optimizer's state, all float32."""
        return _BYTES_OF_FLOAT32 * (2 + self.state_per_parameter)


OPTIMIZERS: Mapping[OptimizerKind, OptimizerFacts] = {
    "adamw": OptimizerFacts(title="AdamW", state_per_parameter=2),
}

BYTES_PER_FROZEN_PARAMETER = _BYTES_OF_FLOAT32
"""Bytes per parameter that is not trained: its weight alone."""
