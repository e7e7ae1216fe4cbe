"""How weights came about: what a model card tells beside what the model itself shows. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sycoca.facts.objective_facts import ObjectiveName


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFacts:
    """Data that a model was trained on or measured on."""

    name: str
    """Its SPEC."""

    num_samples: int
    """Samples that were used."""

    num_skipped: int = 0
    """Samples that were left out because they cannot be used."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """A metric and its value."""

    name: str
    """As reports call it."""

    value: float
    """The number; shares are 0 to 1."""

    text: str
    """The same as people read it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """Where weights come from, as far as it is known."""

    story: str
    """What was done, in whole sentences; Markdown."""

    base: str | None = None
    """The weights that training began with: a path, or a place at the Hub (hf:owner/name)."""

    license: str | None = None
    """The Hub's name of the license, such as apache-2.0; None where whoever publishes the weights has to choose."""

    is_mean: bool = False
    """Whether they lie between two others (WiSE-FT), of which one may not have been trained for a head."""

    objectives: Mapping[ObjectiveName, float] = field(default_factory=dict)
    """What was minimized, by name with its weight; empty where that is unknown."""

    trained_on: DataFacts | None = None
    """Training data."""

    recipe: Mapping[str, str] = field(default_factory=dict)
    """How it was trained, by what people call it: steps, optimizer, seed, time."""

    measured_on: DataFacts | None = None
    """Validation data."""

    measurements: tuple[Measurement, ...] = ()
    """What was found on it."""

    config: str = ""
    """The complete configuration as YAML."""
