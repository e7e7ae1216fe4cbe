"""The optimizers: what they are called and what they keep per parameter. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

OptimizerKind = Literal["adamw"]

_BYTES_OF_FLOAT32 = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerFacts:
    """An optimizer."""

    title: str
    """Its name in papers."""

    state_per_parameter: int
    """Values that it keeps for every trained parameter, in float32."""

    @property
    def bytes_per_parameter(self) -> int:
        """Bytes per trained parameter: the weight, its gradient and the optimizer's state, all float32."""
        return _BYTES_OF_FLOAT32 * (2 + self.state_per_parameter)


OPTIMIZERS: Mapping[OptimizerKind, OptimizerFacts] = {
    "adamw": OptimizerFacts(title="AdamW", state_per_parameter=2),
}

BYTES_PER_FROZEN_PARAMETER = _BYTES_OF_FLOAT32
"""Bytes per parameter that is not trained: its weight alone."""
