"""The options of every command that uses a model."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sycoca.inference.load import Dtype
    from sycoca.inference.predictor import Predictor

_DTYPES: "dict[str, Dtype]" = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelArguments:
    """On what and how precisely the model runs."""

    device: str = "auto"
    """auto (an accelerator where there is one, else the CPU), cpu, cuda, cuda:1, mps."""

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of weights and activations; bf16 and fp16 are faster on GPUs and change results a little."""

    batch_size: int = 64
    """Images that go through the model at once."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")

    def load(self, weights: str) -> "Predictor":
        """Open a weights folder, or what is fetched from the Hugging Face Hub."""
        from sycoca.cli.shared.weights_argument import fetched
        from sycoca.inference.load import load

        return load(fetched(weights), device=self.device, dtype=_DTYPES[self.precision])
