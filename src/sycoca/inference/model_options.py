"""How a model is run. Imports no torch, so that commands parse their options at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sycoca.keywords import suggests_fields

if TYPE_CHECKING:
    from sycoca.inference.load import Dtype
    from sycoca.inference.predictor import Predictor

_DTYPES: "dict[str, Dtype]" = {"auto": "auto", "fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "int8": "int8"}


@suggests_fields
@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceOptions:
    """Device and precision of a model at inference."""

    device: str = "auto"
    """cpu, cuda, cuda:1, mps, or auto: an accelerator if there is one, else the CPU."""

    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "fp32"
    """Number format of weights and activations. All but fp32 change results slightly. bf16 and fp16 are faster on GPUs,
    bf16 also on CPUs that multiply it; auto takes it where a measurement says that it pays. int8, for CPUs alone, is
    that of the weights and halves the time of captions."""

    def load(self, weights: str | Path) -> "Predictor":
        """Load a weights folder, or weights of the Hugging Face Hub; see `sycoca.load`."""
        from sycoca.inference.load import load

        return load(weights, device=self.device, dtype=_DTYPES[self.precision])


@suggests_fields
@dataclass(frozen=True, kw_only=True, slots=True)
class ModelOptions(DeviceOptions):
    """Device, precision and batch size of a model at inference."""

    batch_size: int = 64
    """Images per forward pass."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")
