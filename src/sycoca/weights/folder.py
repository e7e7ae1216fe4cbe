"""Weights folders: config.json, model.safetensors, tokenizer.json, a model card and a manifest. Nothing is pickled."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sycoca.model.sycoca import SyCoCa
from sycoca.outputs.atomic import refuse_other_files
from sycoca.outputs.manifest import folder_with_manifest
from sycoca.outputs.output import Output
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.weights.adapter import adapted_model, base_folder, trained_tensors, with_bases
from sycoca.weights.config import (
    ADAPTER_NAME,
    CARD_NAME,
    CONFIG_NAME,
    FILE_NAMES,
    MODEL_FILES,
    READ_FILES,
    TENSORS_NAME,
    TOKENIZER_NAME,
    WeightsConfig,
)
from sycoca.weights.config_file import instead, read_weights_config, refuse_parts
from sycoca.weights.hub import local_weights
from sycoca.weights.integrity import check_integrity
from sycoca.weights.model_card import model_card
from sycoca.weights.plain_config import versioned_plain
from sycoca.weights.provenance import Provenance
from sycoca.weights.tensors.shapes import shapes_of
from sycoca.weights.tensors.stream import write_tensor_stream


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedWeights:
    """The contents of a weights folder."""

    model: SyCoCa
    """On the CPU, in evaluation mode."""

    tokenizer: Tokenizer
    """The tokenizer it was trained with."""

    config: WeightsConfig
    """Architecture, masking and image transforms."""

    def __repr__(self) -> str:
        return f"<LoadedWeights: {self.model.num_parameters:,} parameters, {self.tokenizer.vocab_size:,} token ids>"


def weights_output(folder: Path, *, inputs: tuple[Path, ...] = (), overwrite: bool = False) -> Output:
    """Return a weights folder as an output, to be claimed before the work.

    It must not replace ``inputs``, nor the base of an adapter among them.
    """
    return Output(
        path=folder,
        kind="folder",
        names=FILE_NAMES,
        noun="weights folder",
        inputs=with_bases(*inputs),
        overwrite=overwrite,
    )


def save_weights(
    folder: str | Path,
    model: SyCoCa,
    tokenizer: Tokenizer,
    config: WeightsConfig,
    *,
    provenance: Provenance | None = None,
    read: Callable[[str], Tensor] | None = None,
) -> None:
    """Write a weights folder atomically; an existing one is replaced.

    ``read`` returns one of the weights by its name, as `write_tensor_stream` calls it; without it they are the model's
    own.

    ``provenance`` goes into the model card: how the weights were made, and their metrics; its summary is also added to
    the config's history. Raises ValueError where config or tokenizer do not belong to the model, where that is in int8,
    and where ``folder`` holds other files.
    """
    folder = Path(folder)
    if model.is_int8:
        raise ValueError('a model in int8 is not saved; load it with dtype="float32", and in int8 wherever it is used')
    if model.config != config.model:
        raise ValueError("the config to save is of another model: its architecture differs from the model's own")
    _check_vocabulary(folder, tokenizer, config)
    check_replaceable(folder)
    if provenance is not None:
        config = replace(config, history=(*config.history, provenance.summary))
    with folder_with_manifest(folder, "weights", READ_FILES) as unfinished:
        _write_tensors(unfinished / _tensors_name(config), tensors_to_save(model, config), read)
        tokenizer.save(unfinished / TOKENIZER_NAME)
        text = json.dumps(versioned_plain(config), indent=2)
        (unfinished / CONFIG_NAME).write_text(text + "\n", encoding="utf-8")
        (unfinished / CARD_NAME).write_text(model_card(model, config, provenance), encoding="utf-8")


def tensors_to_save(model: SyCoCa, config: WeightsConfig) -> dict[str, Tensor]:
    """Return the tensors that a weights folder holds: all of them, or what was trained beside an adapter's base."""
    return model.state_dict() if config.adapter is None else trained_tensors(model)


def _tensors_name(config: WeightsConfig) -> str:
    return TENSORS_NAME if config.adapter is None else ADAPTER_NAME


def _write_tensors(path: Path, own: Mapping[str, Tensor], read: Callable[[str], Tensor] | None) -> None:
    if read is not None:
        write_tensor_stream(path, own, read)
        return
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in own.items()}
    save_file(tensors, path, metadata={"format": "pt"})


def load_weights(folder: str | Path, base: str | Path | None = None) -> LoadedWeights:
    """Read a weights folder; that of an adapter gives the whole fine-tuned model, whose config has no adapter.

    ``base`` are the weights that an adapter belongs to, where they are no longer where it says. Raises ValueError where
    they are missing or others, a file differs from the manifest (a DamageError), and where a file or tensor is missing,
    damaged, unexpected, of another shape or of a newer version.
    """
    folder = Path(folder)
    check_integrity(folder)
    refuse_parts(folder)
    check_files(folder, (CONFIG_NAME,))
    config = read_weights_config(folder)
    check_files(folder, config.files)
    tokenizer = _read_tokenizer(folder / TOKENIZER_NAME)
    _check_vocabulary(folder, tokenizer, config)
    if config.adapter is not None:
        own_base = load_weights(base_folder(folder, config.adapter, base))
        model = adapted_model(config, own_base.model, read_tensors(folder / ADAPTER_NAME))
    elif base is not None:
        raise ValueError(f"{folder} is no adapter: it holds a whole model and has no base")
    else:
        model = _model_on_meta_device(folder, config)
        tensors = read_tensors(folder / TENSORS_NAME)
        check_tensors(folder, tensors, model)
        model.load_state_dict(tensors, assign=True)
    return LoadedWeights(model=model.eval(), tokenizer=tokenizer, config=replace(config, adapter=None))


def load_adapter(adapter: str | Path, base: str | Path | None = None) -> LoadedWeights:
    """Return the fine-tuned model of an adapter, a folder or hf:owner/name[@revision].

    Raises ValueError for the folder of a whole model, and as `load_weights` does.
    """
    folder = local_weights(adapter)
    check_files(folder, (CONFIG_NAME,))
    if read_weights_config(folder).adapter is None:
        raise ValueError(f"{adapter} is no adapter: it holds a whole model, with nothing to merge")
    return load_weights(folder, base)


def check_files(folder: Path, names: Sequence[str]) -> None:
    """Raise ValueError where a folder lacks one of these files."""
    for name in names:
        if not (folder / name).is_file():
            advice = instead(folder, f"a weights folder holds {', '.join(MODEL_FILES)}")
            raise ValueError(f"{folder} {lack_of(folder, name)}; {advice}")


def lack_of(folder: Path, name: str) -> str:
    """Return why there is no file of this name in a folder, as part of a sentence about the folder."""
    if folder.is_dir():
        return f"has no {name}"
    return "is not a folder" if folder.exists() else "does not exist"


def _read_tokenizer(path: Path) -> Tokenizer:
    try:
        return Tokenizer.load(path)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a tokenizer file: {error}") from error


def _model_on_meta_device(folder: Path, config: WeightsConfig) -> SyCoCa:
    # Nothing is initialized on the meta device, so a large model loads as fast as its file can be read.
    try:
        with torch.device("meta"):
            return SyCoCa(config.model)
    except RuntimeError as error:
        raise ValueError(f"{folder / CONFIG_NAME} describes a model that cannot be built: {error}") from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file by name; ValueError where it is damaged."""
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or not a safetensors file: {error}") from error


def check_tensors(folder: Path, tensors: dict[str, Tensor], model: nn.Module) -> None:
    """Raise ValueError where names or shapes of a folder's tensors are not those of a model."""
    expected, found = shapes_of(model.state_dict()), shapes_of(tensors)
    faults = {
        "lacks": sorted(expected.keys() - found.keys()),
        "has, unknown to its config,": sorted(found.keys() - expected.keys()),
        "has in another shape": [
            f"{name} {found[name]} instead of {expected[name]}"
            for name in sorted(expected.keys() & found.keys())
            if expected[name] != found[name]
        ],
        "has other than floating-point values in": sorted(
            name for name, tensor in tensors.items() if not tensor.is_floating_point()
        ),
    }
    for fault, names in faults.items():
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            raise ValueError(
                f"{folder / TENSORS_NAME} {fault} {', '.join(names[:5])}{more}; it does not belong to the"
                f" {CONFIG_NAME} beside it: copy the whole folder again"
            )


def _check_vocabulary(folder: Path, tokenizer: Tokenizer, config: WeightsConfig) -> None:
    vocab_size = config.model.text_encoder.vocab_size
    if tokenizer.vocab_size != vocab_size:
        raise ValueError(
            f"{folder / TOKENIZER_NAME} has {tokenizer.vocab_size:,} token ids, the model of {folder / CONFIG_NAME} was"
            f" built for {vocab_size:,}"
        )


def check_replaceable(folder: Path) -> None:
    """Raise ValueError where writing a weights folder would delete other files."""
    refuse_other_files(folder, FILE_NAMES, "weights folder")
