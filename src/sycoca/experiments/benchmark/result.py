"""The result of a benchmark, and its JSON form; `table` prints it for people."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from sycoca.experiments.benchmark.settings import FloatPrecision

Setting = str | int | float | bool | None

MASKED_IMAGE_SHARE = "masked_image_share"
"""Name of the setting of `BenchmarkResult.masked_image_share`."""

_PEAKS = "peak_gflop_per_second"
"""Key of the peaks in the JSON's section on the machine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RowResult:
    """Time and work of one call of a row."""

    seconds: float
    """Median over the runs."""

    seconds_min: float
    """The fastest run."""

    seconds_max: float
    """The slowest run."""

    items: int | float
    """Number of items that one call processes, in ``unit``."""

    unit: str
    """Unit of the items: pairs, captions, images, texts, queries, products, GB (10^9 bytes)."""

    gflop: float | None
    """Floating-point operations of its matrix products, in 10^9; None where it has none."""

    precision: FloatPrecision | None
    """Precision of those products, whose peak they are compared with; None where there are none."""

    @property
    def items_per_second(self) -> float:
        """Items per second of the median run."""
        return self.items / self.seconds

    @property
    def gflop_per_second(self) -> float | None:
        """Operations per second of the median run, in 10^9; None where there are none."""
        return None if self.gflop is None else self.gflop / self.seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchmarkResult:
    """Speed of a machine, and of the library on it."""

    machine: dict[str, Setting]
    """Processor, device, threads and versions."""

    settings: dict[str, Setting]
    """Preset and sizes."""

    rows: dict[str, RowResult]
    """By name, in the order of measurement."""

    peaks: dict[str, float]
    """The highest measured rate of matrix products, in GFLOP/s, by precision."""

    memory: dict[str, int | None]
    """Bytes of this process, or those that PyTorch has allocated on a GPU: ``model_built_bytes`` after the model is
    built, ``train_all_peak_bytes`` the peak during updates with all objectives. None where it is unknown, or where that
    row was not measured."""

    @property
    def masked_image_share(self) -> float:
        """The fraction of the preset's training steps that have TG-MIM."""
        share = self.settings.get(MASKED_IMAGE_SHARE)
        return share if isinstance(share, float) else 1.0

    @property
    def mean_step_seconds(self) -> float | None:
        """The mean time of the preset's training steps, some of which leave TG-MIM out.

        None where all have it, or where a row that it is made of was not measured.
        """
        share = self.masked_image_share
        if share == 1 or not {"train_all", "train_itc_ic"} <= self.rows.keys():
            return None
        return share * self.rows["train_all"].seconds + (1 - share) * self.rows["train_itc_ic"].seconds

    def share_of_peak(self, name: str) -> float | None:
        """Return a row's fraction of the peak of its precision; None for a row without matrix products."""
        row = self.rows[name]
        if row.gflop_per_second is None or row.precision is None:
            return None
        return row.gflop_per_second / self.peaks[row.precision]

    def to_plain(self) -> dict[str, Any]:
        """Return the result as plain data."""
        return {
            "task": "benchmark",
            "machine": {**self.machine, _PEAKS: self.peaks},
            "settings": self.settings,
            "rows": {name: self._plain_row(name) for name in self.rows},
            "mean_step_seconds": self.mean_step_seconds,
            "memory": self.memory,
        }

    def to_json(self) -> str:
        """Return the result as JSON."""
        return json.dumps(self.to_plain(), indent=2, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "BenchmarkResult":
        """Read the JSON of ``to_json``. Raises ValueError where the text is not a benchmark's."""
        plain = json.loads(text)
        if not isinstance(plain, dict) or plain.get("task") != "benchmark":
            raise ValueError("this is not the result of a benchmark: its task is not 'benchmark'")
        machine, measured = dict(plain["machine"]), RowResult.__dataclass_fields__
        return cls(
            peaks=machine.pop(_PEAKS),
            machine=machine,
            settings=plain["settings"],
            rows={name: RowResult(**{field: row[field] for field in measured}) for name, row in plain["rows"].items()},
            memory=plain["memory"],
        )

    def _plain_row(self, name: str) -> dict[str, Any]:
        row = self.rows[name]
        return {
            **asdict(row),
            "items_per_second": row.items_per_second,
            "gflop_per_second": row.gflop_per_second,
            "share_of_peak": self.share_of_peak(name),
        }
