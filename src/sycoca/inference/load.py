"""Loading of weights as a `Predictor`."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch

from sycoca.data.choices import check_choice
from sycoca.inference.model_options import ModelOptions
from sycoca.inference.predictor import Predictor
from sycoca.keywords import check_type, suggests_keywords
from sycoca.model.automatic_precision import DTYPE_OF_PRECISION, automatic_precision
from sycoca.model.products import limit_cached_kernels
from sycoca.model.sycoca import SyCoCa
from sycoca.outputs.manifest import is_verification_on, verification
from sycoca.weights.folder import load_weights
from sycoca.weights.hub import local_weights

logger = logging.getLogger(__name__)

_WEIGHTS = "a weights folder or hf:owner/name[@revision]"

Dtype = Literal["auto", "float32", "bfloat16", "float16", "int8"]

DTYPES: Mapping[Dtype, torch.dtype | None] = {
    "auto": None,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "int8": torch.int8,
}
"""None is chosen for the device."""


@suggests_keywords
def load(
    weights: str | Path,
    *,
    device: str | torch.device = "auto",
    dtype: Dtype | torch.dtype = "float32",
    compile: bool = False,
    verify: bool = True,
    base: str | Path | None = None,
) -> Predictor:
    """Load weights as a ``Predictor``: a folder, or ``hf:owner/name[@revision]`` of the Hugging Face Hub.

    A path never touches the network; weights of the Hub are downloaded unless the Hub's cache has them.

    ``device``: auto (an accelerator where there is one, else the CPU), or PyTorch's device or its name. ``dtype``: of
    weights and activations; similarities and logits are always float32. auto: bfloat16 on GPUs that support it and on
    CPUs where a measurement says that it pays, else float32. int8, for CPUs alone, is that of the weights of attention,
    MLPs and vocabulary, with a scale per row; all else is float32. ``compile``: torch.compile both encoders; the first
    call with each batch size then takes minutes. ``verify``: compare all files with the folder's manifest first
    (SHA-256). ``base``: the weights that an adapter (LoRA) was trained on, where they are no longer where it says; the
    adapter is merged into them. Raises ValueError where the weights folder is missing or damaged or
    the device is missing, ConnectionError where the Hub cannot be reached.
    """
    check_type(weights, (str, os.PathLike), "weights", _WEIGHTS)
    limit_cached_kernels()
    with verification(verify and is_verification_on()):
        loaded = load_weights(local_weights(weights), base)
    chosen_device = choose_device(device)
    chosen_dtype = torch_dtype(dtype, chosen_device)
    model = _placed(loaded.model, chosen_device, chosen_dtype, compile=compile)
    if compile:
        # In place, so that names of weights do not change.
        model.image_encoder.compile()
        model.text_encoder.compile()
    logger.debug("loaded %s on %s in %s: %d parameters", weights, chosen_device, chosen_dtype, model.num_parameters)
    logger.debug("%d threads, GOMP_SPINCOUNT=%s", torch.get_num_threads(), os.environ.get("GOMP_SPINCOUNT", "unset"))
    return Predictor(model, loaded.tokenizer, loaded.config)


def _automatic_dtype(device: torch.device) -> torch.dtype:
    match device.type:
        case "cpu":
            return DTYPE_OF_PRECISION[automatic_precision("inference")]
        case "cuda" if torch.cuda.is_bf16_supported():
            return torch.bfloat16
        case _:
            return torch.float32


def _placed(model: SyCoCa, device: torch.device, dtype: torch.dtype, *, compile: bool) -> SyCoCa:
    """Return the model on the device and in the type. Raises ValueError where int8 is not possible."""
    if dtype is not torch.int8:
        return model.to(device, dtype)
    if device.type != "cpu" or compile:
        where = "with compile=True" if device.type == "cpu" else f"on {device.type}"
        raise ValueError(f"int8 is for CPUs and not compiled; {where} use bfloat16")
    model.quantize()
    for parameter in model.parameters():  # they lie in the file of the weights, and would keep all of it in memory
        parameter.data = parameter.data.clone()
    return model.to(device)


def predictor_of(weights: Predictor | str | Path, model: ModelOptions) -> Predictor:
    """Return a loaded model as it is, and load one that is named."""
    check_type(weights, (str, os.PathLike, Predictor), "weights", f"{_WEIGHTS}, or a Predictor")
    return weights if isinstance(weights, Predictor) else model.load(weights)


def choose_device(name: str | torch.device) -> torch.device:
    """Return the device of that name; auto is an accelerator where there is one, else the CPU.

    Raises ValueError for a name that PyTorch does not know, and for a missing device.
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
        raise ValueError(f"there is no device '{name}', PyTorch finds {there}; use auto")
    return device


def torch_dtype(name: str | torch.dtype, device: torch.device) -> torch.dtype:
    """Return PyTorch's type of that name, such as float16 or torch.float16; auto is chosen for the device.

    Raises ValueError for another name.
    """
    name = str(name).removeprefix("torch.")
    known = {str(one): dtype for one, dtype in DTYPES.items()}
    check_choice("dtype", name, known)
    return known[name] or _automatic_dtype(device)
