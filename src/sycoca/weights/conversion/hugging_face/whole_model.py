"""A whole model that was read from a folder of Hugging Face."""

from dataclasses import dataclass
from typing import Literal

from sycoca.model.sycoca import SyCoCa
from sycoca.preprocess.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class HfModel:
    """A CLIP or SigLIP of Hugging Face."""

    kind: Literal["CLIP", "SigLIP"]
    """What it is, for the image processor that is assumed where none is saved."""

    model: SyCoCa
    """With its tensors, on the CPU, in evaluation mode, without decoders."""

    tokenizer: Tokenizer | None
    """That of a SigLIP; None for a CLIP, most of which share one that needs no file."""

    dropped: tuple[str, ...]
    """Constant buffers of the file, which no model needs."""
