"""Provenance of weights, for the model card: data, training and metrics. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sycoca.facts.objective_facts import ObjectiveName


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFacts:
    """Data that a model was trained or evaluated on."""

    name: str
    """Its SPEC."""

    num_samples: int
    """Samples that were used."""

    num_skipped: int = 0
    """Samples that were skipped because they are unusable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """A metric and its value."""

    name: str
    """Its name in reports."""

    value: float
    """The number; fractions are 0 to 1."""

    text: str
    """The same, formatted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """Where weights come from, as far as it is known."""

    summary: str
    """How the weights were made, in whole sentences; Markdown."""

    base: str | None = None
    """The weights that training started from: a path, or a repository on the Hub (hf:owner/name)."""

    license: str | None = None
    """The Hub's name of the license, such as apache-2.0; None where the publisher has to choose one."""

    objectives: Mapping[ObjectiveName, float] = field(default_factory=dict)
    """Weight of each objective by name; empty where that is unknown."""

    trained_on: DataFacts | None = None
    """Training data."""

    recipe: Mapping[str, str] = field(default_factory=dict)
    """Training settings by readable names: steps, optimizer, seed, time."""

    measured_on: DataFacts | None = None
    """Validation data."""

    measurements: tuple[Measurement, ...] = ()
    """Metrics on it."""

    config: str = ""
    """The complete configuration as YAML."""
