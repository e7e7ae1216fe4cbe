"""Settings of a benchmark. Imports no torch, so that help and errors appear fast."""

import os
from dataclasses import dataclass
from typing import Literal

from sycoca.plain_data import did_you_mean
from sycoca.presets.pretrain import pretrain_preset
from sycoca.texts import refuse_text

FloatPrecision = Literal["fp32", "bf16"]
"""Precisions of floating-point matrix products."""

BenchmarkPrecision = Literal["fp32", "bf16", "int8"]
"""int8: matrices of attention, MLPs and vocabulary, at inference alone."""

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

PEAK_ROWS: dict[FloatPrecision, str] = {"fp32": "matrix_peak", "bf16": "matrix_peak_bf16"}
"""The row that measures the machine's peak in a precision."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrecisionFacts:
    """A precision of a benchmark."""

    floating_point: tuple[FloatPrecision, ...]
    """Precisions of its floating-point products, that of training last: parts of a mixed one stay in float32."""

    is_quantized: bool = False
    """Whether the model is quantized, so that nothing is trained, on CPUs alone."""


PRECISIONS: dict[BenchmarkPrecision, PrecisionFacts] = {
    "fp32": PrecisionFacts(floating_point=("fp32",)),
    "bf16": PrecisionFacts(floating_point=("fp32", "bf16")),
    "int8": PrecisionFacts(floating_point=("fp32",), is_quantized=True),
}
"""All precisions."""


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
    """Precision of training, captioning and embedding. fp32: full. bf16: autocast in training, weights otherwise. int8:
    matrices as `sycoca.load(dtype="int8")` makes them, on CPUs, without training. Scoring stays in fp32."""

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
        if self.facts.is_quantized and self.compile:
            raise ValueError(f"{self.precision} matrices are not compiled; leave out --compile")
        self._check_rows()

    @property
    def facts(self) -> PrecisionFacts:
        """Properties of the precision."""
        return PRECISIONS[self.precision]

    @property
    def chosen_rows(self) -> list[str]:
        """Names of the rows to measure, in order: the chosen ones, and the peaks that they are compared with."""
        peaks = [PEAK_ROWS[precision] for precision in self.facts.floating_point]
        chosen = [*peaks, *(self._possible_rows() if self.rows is None else self.rows)]
        return [name for name in self._possible_rows() if name in chosen]

    def _possible_rows(self) -> list[str]:
        names = [name for group in ROWS.values() for name in group]
        impossible = {*self._other_peaks(), *self._training_rows_without_training()}
        return [name for name in names if name not in impossible]

    def _training_rows_without_training(self) -> list[str]:
        return list(ROWS["training"]) if self.facts.is_quantized else []

    def _other_peaks(self) -> dict[str, FloatPrecision]:
        """Return the rows that this precision does not measure, with the precision that does."""
        used = self.facts.floating_point
        return {row: precision for precision, row in PEAK_ROWS.items() if precision not in used}

    def _check_rows(self) -> None:
        if self.rows is not None and not self.rows:
            raise ValueError(f"name at least one row: {', '.join(self._possible_rows())}")
        for name in self.rows or ():
            if name in self._other_peaks():
                raise ValueError(f"row {name} is measured with --precision {self._other_peaks()[name]} only")
            if name in self._training_rows_without_training():
                raise ValueError(f"row {name} is not measured with --precision {self.precision}: it trains nothing")
            if name not in self._possible_rows():
                raise ValueError(f"there is no row {name!r}{did_you_mean(name, self._possible_rows())}")
