"""The result of one run: a JSON file of a few kB, from which all tables are computed."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sycoca.outputs.manifest import DamageError, read_sound_json
from sycoca.plain_data import write_text

FORMAT_VERSION = 1
"""Increases when results change in a way that older versions cannot read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """A row trained with one seed, and measured."""

    row: str
    """Name of the row."""

    seed: int
    """Seed of initial weights, data order and all other draws."""

    steps: int
    """Optimizer updates."""

    settings_sha256: str
    """Digest of the complete configuration, the data that it was measured on, and how."""

    measured_on: str
    """SPEC of that data."""

    num_samples: int
    """Its samples."""

    training_processor_seconds: float
    """Processor time of training, reading data and training the tokenizer included."""

    processor_seconds: float
    """Processor time of training and measuring."""

    wall_seconds: float
    """Duration of both."""

    killed_sessions: int
    """How often the run was killed; the time of such a session is not known, and the seconds lack it."""

    versions: Mapping[str, str]
    """Versions of Python, PyTorch and this package, and the type of processor."""

    metrics: Mapping[str, float | None]
    """All metrics; None for those that the row cannot have."""

    def save(self, path: Path) -> None:
        """Write the result as JSON, atomically."""
        plain = {"format_version": FORMAT_VERSION, **asdict(self)}
        write_text(path, json.dumps(plain, indent=1, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> "RunResult":
        """Read a result. Raises DamageError (a ValueError) for a file that is none."""
        plain = read_sound_json(path)
        if not _is_result(plain):
            raise DamageError(path, "is no result of a run that this version reads", "delete it to repeat the run")
        return cls(**{name: value for name, value in plain.items() if name != "format_version"})


def _is_result(plain: Any) -> bool:
    if not isinstance(plain, dict) or plain.get("format_version") != FORMAT_VERSION:
        return False
    if set(plain) != {"format_version", *RunResult.__dataclass_fields__}:
        return False
    metrics = plain["metrics"]
    return isinstance(metrics, dict) and all(
        value is None or isinstance(value, int | float) for value in metrics.values()
    )
