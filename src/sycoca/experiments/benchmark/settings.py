"""Settings of a benchmark. Imports no torch, so that help and errors appear fast."""

import os
from dataclasses import dataclass
from typing import Literal

from sycoca.plain_data import did_you_mean
from sycoca.presets.pretrain import pretrain_preset
from sycoca.texts import refuse_text

BenchmarkPrecision = Literal["fp32", "bf16"]

ROWS: dict[str, dict[str, str]] = {
    "machine": {
        "matrix_peak": "product of float32 matrices",
        "matrix_peak_bf16": "product of bfloat16 matrices",
        "copy_rate": "copy, bytes read and written",
    },
    "training": {
        "train_itc": "update: contrastive",
        "train_itc_ic": "update: contrastive, captioning",
        "train_all": "update: all three objectives",
    },
    "inference": {
        "caption_greedy": "30 tokens, greedy",
        "caption_beam": "30 tokens, 6 beams",
        "embed_images": "pixels to vectors",
        "embed_texts": "tokens to vectors",
    },
    "data": {
        "load_images": "500 x 375 JPEGs to crops",
        "retrieval_scoring": "ranks, 5 captions per image",
    },
}
"""All rows and what one call does, by group, in the order of measurement."""

PEAK_ROWS: dict[BenchmarkPrecision, str] = {"fp32": "matrix_peak", "bf16": "matrix_peak_bf16"}
"""The row that measures the machine's peak in a precision."""

_COMPUTES_IN: dict[BenchmarkPrecision, tuple[BenchmarkPrecision, ...]] = {"fp32": ("fp32",), "bf16": ("fp32", "bf16")}
"""Precisions that the rows of a benchmark are computed in: parts of a mixed one stay in float32."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchmarkSettings:
    """Which rows are measured, in which sizes, how often."""

    preset: str = "tiny"
    """The pretraining preset that defines model and image size."""

    rows: tuple[str, ...] | None = None
    """Rows to measure; the machine's peak is always added, for comparison. None measures all."""

    batch_size: int = 16
    """Pairs per update; images or texts per call of inference and data loading."""

    retrieval_images: int = 5000
    """Images in retrieval scoring, with five captions each."""

    runs: int = 5
    """Measured runs of every row, interleaved with the other rows, after a warm-up run."""

    threads: int | None = None
    """Threads of PyTorch's operators; None keeps PyTorch's default."""

    device: str = "auto"
    """auto (an accelerator where there is one, else the CPU), cpu, cuda, cuda:1, mps."""

    precision: BenchmarkPrecision = "fp32"
    """Precision of training (autocast), captioning and embedding (weights); scoring stays in float32."""

    compile: bool = False
    """Compile the components with torch.compile; warm-up then takes minutes."""

    def __post_init__(self) -> None:
        pretrain_preset(self.preset)
        refuse_text(self.rows, "rows")
        for name in ("batch_size", "retrieval_images", "runs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        processors = os.cpu_count() or 1
        if self.threads is not None and not 1 <= self.threads <= processors:
            raise ValueError(
                f"threads must lie between 1 and {processors}, the processors of this machine, got {self.threads}"
            )
        self._check_rows()

    @property
    def chosen_rows(self) -> list[str]:
        """Names of the rows to measure, in order: the chosen ones, and the peaks that they are compared with."""
        peaks = [PEAK_ROWS[precision] for precision in _COMPUTES_IN[self.precision]]
        chosen = [*peaks, *(self._possible_rows() if self.rows is None else self.rows)]
        return [name for name in self._possible_rows() if name in chosen]

    def _possible_rows(self) -> list[str]:
        names = [name for group in ROWS.values() for name in group]
        return [name for name in names if name not in self._other_peaks()]

    def _other_peaks(self) -> dict[str, BenchmarkPrecision]:
        """Return the rows that this precision does not measure, with the precision that does."""
        used = _COMPUTES_IN[self.precision]
        return {row: precision for precision, row in PEAK_ROWS.items() if precision not in used}

    def _check_rows(self) -> None:
        if self.rows is not None and not self.rows:
            raise ValueError(f"name at least one row: {', '.join(self._possible_rows())}")
        for name in self.rows or ():
            if name in self._other_peaks():
                raise ValueError(f"row {name} is measured with --precision {self._other_peaks()[name]} only")
            if name not in self._possible_rows():
                raise ValueError(f"there is no row {name!r}{did_you_mean(name, self._possible_rows())}")
