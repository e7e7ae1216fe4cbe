"""Adapters: what a LoRA fine-tuning has trained, and the weights of a whole model to which it is added."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from sycoca.model.adapters import add_adapters, is_of_adapter, layer_of_adapter, merge_adapters
from sycoca.model.sycoca import SyCoCa
from sycoca.outputs.manifest import MANIFEST_NAME, Manifest, file_entry
from sycoca.weights.config import ADAPTER_NAME, TENSORS_NAME, AdapterConfig, WeightsConfig
from sycoca.weights.config_file import instead, read_plain_config
from sycoca.weights.hub import is_at_hub, local_weights
from sycoca.weights.tensors.filling import fill_model


def adapter_config(weights: str, *, rank: int, alpha: float) -> AdapterConfig:
    """Return the config of an adapter of these weights, a local folder or hf:owner/name[@revision].

    Raises ValueError where they are an adapter themselves.
    """
    folder = local_weights(weights)
    if not (folder / TENSORS_NAME).is_file():
        raise ValueError(
            f"{weights} is an adapter itself; sycoca merge {weights} --out FOLDER makes a whole model of it"
        )
    base = weights if is_at_hub(weights) else str(folder.absolute())
    return AdapterConfig(rank=rank, alpha=alpha, base=base, base_sha256=_digest(folder))


def base_folder(folder: Path, adapter: AdapterConfig, base: str | Path | None) -> Path:
    """Return the local folder of the weights that the adapter in ``folder`` belongs to.

    ``base`` names them where they are no longer where the adapter says. Raises ValueError where they are missing, or
    are other weights.
    """
    named = adapter.base if base is None else base
    found = local_weights(named)
    if base is not None and not (found / TENSORS_NAME).is_file():
        advice = instead(found, f"name the weights that the fine-tuning of {folder} started from")
        raise ValueError(f"{base} holds no weights of a whole model, to which an adapter could belong; {advice}")
    if not (found / TENSORS_NAME).is_file():
        raise ValueError(
            f"{folder} is an adapter of {named}, where no weights of a whole model are; sycoca merge {folder} --base"
            " WEIGHTS --out FOLDER names others (in Python base=)"
        )
    if _digest(found) != adapter.base_sha256:
        raise ValueError(
            f"{folder} is an adapter of other weights than those in {found}: the SHA-256 of their tensors is not"
            f" {adapter.base_sha256[:12]}...; name the weights that the fine-tuning started from"
        )
    return found


def with_bases(*inputs: Path) -> tuple[Path, ...]:
    """Return the inputs of an output, and the local bases of adapters among them, which it must not replace either."""
    return (*inputs, *(base for base in map(_named_base, inputs) if base is not None))


def _named_base(folder: Path) -> Path | None:
    """Return the local folder of weights that the adapter in ``folder`` names; None where there is none."""
    try:
        adapter = read_plain_config(folder).get("adapter")
    except ValueError:  # whoever reads the folder says what is wrong with it
        return None
    base = adapter.get("base") if isinstance(adapter, dict) else None
    return Path(base) if isinstance(base, str) and not is_at_hub(base) else None


def adapted_model(config: WeightsConfig, base: SyCoCa, tensors: Mapping[str, Tensor]) -> SyCoCa:
    """Return the fine-tuned model: the base with the adapters merged, and the other tensors of the fine-tuning.

    Raises ValueError where ``tensors`` are not those of the adapter that ``config`` describes.
    """
    adapter = config.adapter
    assert adapter is not None, "the config is that of an adapter"
    with torch.random.fork_rng(devices=[]):  # what is drawn is replaced, and must not advance the caller's generator
        model = SyCoCa(config.model)
        add_adapters(model, adapter.rank, adapter.alpha)
    own = model.state_dict()
    unknown = sorted(name for name, tensor in tensors.items() if name not in own or own[name].shape != tensor.shape)
    # Which parts have adapters is not told, but half of one is none: it would change nothing.
    adapted = {layer_of_adapter(name) for name in filter(is_of_adapter, tensors)}
    unadapted = {name for name in filter(is_of_adapter, own) if layer_of_adapter(name) not in adapted}
    lacking = sorted(own.keys() - base.state_dict().keys() - tensors.keys() - unadapted)
    others = sorted(name for name, tensor in tensors.items() if not tensor.is_floating_point())
    faults = {
        "has unknown tensors or shapes": unknown,
        "lacks tensors": lacking if adapted else ["those of adapters"],
        "has other than floating-point values in": others,
    }
    for fault, names in faults.items():
        if names:
            raise ValueError(f"{ADAPTER_NAME} {fault}: {', '.join(names[:5])}; copy the whole folder again")
    fill_model(model, {**base.state_dict(), **tensors})
    merge_adapters(model)
    return model


def trained_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return what a fine-tuning with adapters saves: the tensors that it trains."""
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    return {name: tensor for name, tensor in model.state_dict().items() if name in trained}


def _digest(folder: Path) -> str:
    """Return the SHA-256 of a folder's tensors, as its manifest states it."""
    if (folder / MANIFEST_NAME).exists() and TENSORS_NAME in (files := Manifest.read(folder).files):
        return files[TENSORS_NAME]["sha256"]
    return file_entry(folder / TENSORS_NAME)["sha256"]
