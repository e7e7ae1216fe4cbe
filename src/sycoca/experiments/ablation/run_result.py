"""The result of one run: a JSON file of a few kB, from which all tables are computed."""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
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

    resamples: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Metrics of bootstrap resamples of the test items, in the same order in all results on the same data; empty in
    results of earlier versions."""

    def save(self, path: Path) -> None:
        """Write the result as JSON, atomically; the resamples are in its last line."""
        plain = {"format_version": FORMAT_VERSION, **asdict(self)}
        resamples = json.dumps(plain.pop("resamples"), allow_nan=False)
        summary = json.dumps(plain, indent=1, allow_nan=False).removesuffix("\n}")
        write_text(path, f'{summary},\n "resamples": {resamples}\n}}\n')

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
    if set(plain) | {"resamples"} != {"format_version", *RunResult.__dataclass_fields__}:
        return False
    metrics, resamples = plain["metrics"], plain.get("resamples", {})
    if not (isinstance(metrics, dict) and isinstance(resamples, dict)):
        return False
    lists = list(resamples.values())
    if not all(isinstance(values, list) for values in lists) or len(set(map(len, lists))) > 1:
        return False
    measured = (value for value in metrics.values() if value is not None)
    numbers = (*measured, *itertools.chain(*lists), *(plain[name] for name in _NUMBERS))
    return isinstance(plain["row"], str) and all(map(_is_number, numbers))


_NUMBERS = ("seed", "steps", "num_samples", "training_processor_seconds")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
