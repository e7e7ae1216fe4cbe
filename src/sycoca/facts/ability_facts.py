"""What a model can be used for, as model cards describe it. No torch."""

from dataclasses import dataclass

FOLDER = "path/of/this/folder"
"""Placeholder for the weights folder in example lines."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ability:
    """A task that a model can be used for."""

    name: str
    """Name of the task."""

    does: str
    """What the model does, as part of a sentence about it."""

    pipeline_tag: str
    """The Hub's pipeline tag for the task."""

    tags: tuple[str, ...]
    """Further tags for the Hub."""

    python: tuple[str, ...]
    """Example lines with a ``predictor``."""

    commands: tuple[str, ...]
    """Example lines for a shell."""
