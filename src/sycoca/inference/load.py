"""Open weights, ready to use."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch

from sycoca.inference.model_options import ModelOptions
from sycoca.inference.predictor import Predictor
from sycoca.weights.folder import load_weights
from sycoca.weights.hub import local_weights

Dtype = Literal["float32", "bfloat16", "float16"]

DTYPES: Mapping[Dtype, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def load(weights: str | Path, *, device: str = "auto", dtype: Dtype = "float32", compile: bool = False) -> Predictor:
    """Load weights as a ``Predictor``: a folder, or ``hf:owner/name[@revision]`` of the Hugging Face Hub.

    A path never touches the network; what lies at the Hub is fetched unless the Hub's cache has it.

    ``device``: auto (an accelerator where there is one, else the CPU) or PyTorch's name of one. ``dtype``: of weights
    and activations; similarities and logits are float32 in any case. ``compile``: torch.compile both encoders; the
    first call of each batch size then takes minutes. Raises ValueError where there is no sound weights folder or the
    device is not there, ConnectionError where the Hub cannot be reached.
    """
    loaded = load_weights(local_weights(weights))
    model = loaded.model.to(choose_device(device), torch_dtype(dtype))
    if compile:
        # In place, so that names of weights stay.
        model.image_encoder.compile()
        model.text_encoder.compile()
    return Predictor(model, loaded.tokenizer, loaded.config)


def predictor_of(weights: Predictor | str | Path, model: ModelOptions) -> Predictor:
    """Return a loaded model as it is, and load one that is named."""
    return model.load(weights) if isinstance(weights, str | Path) else weights


def choose_device(name: str) -> torch.device:
    """Return the device of a name; auto takes an accelerator where there is one.

    Raises ValueError for a name that PyTorch does not know, and for a device that is not there.
    """
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if name == "auto":
        return accelerator or torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"{name!r} is no device; use auto, cpu, cuda, cuda:1 or mps") from error
    if device.type not in ("cpu", None if accelerator is None else accelerator.type):
        there = "cpu" if accelerator is None else f"cpu and {accelerator.type}"
        raise ValueError(f"device {name!r} is not there, PyTorch finds {there}; use auto")
    return device


def torch_dtype(name: str) -> torch.dtype:
    """Return PyTorch's type of that name. Raises ValueError for another name."""
    known = {str(one): dtype for one, dtype in DTYPES.items()}
    if name not in known:
        raise ValueError(f"dtype must be {', '.join(known)}, got {name!r}")
    return known[name]
