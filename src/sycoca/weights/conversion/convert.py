"""Conversion of other projects' checkpoints into weights folders, and back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Shaped
from safetensors.torch import save_file
from torch import Tensor

from sycoca.facts.limit_facts import ABILITIES
from sycoca.file_names import has_suffix
from sycoca.model.config import ImageEncoderConfig, SyCoCaConfig, TextEncoderConfig
from sycoca.model.forms import ClsMask
from sycoca.model.masking_config import MaskingConfig
from sycoca.outputs.atomic import atomic_file, atomic_folder
from sycoca.outputs.errors import OutputError
from sycoca.outputs.output import Output, claimed
from sycoca.plain_data import write_text
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.weights.adapter import with_bases
from sycoca.weights.config import OPEN_CLIP_CONFIG_NAME, WeightsConfig
from sycoca.weights.conversion.hugging_face.pixels import read_hf_pixels
from sycoca.weights.conversion.hugging_face.read import read_hugging_face
from sycoca.weights.conversion.hugging_face.vocabulary import CLIP_VOCAB_SIZE, check_vocabulary
from sycoca.weights.conversion.hugging_face.whole_model import HfModel
from sycoca.weights.conversion.open_clip import CHECKPOINT_NAMES, open_clip_tensors, read_open_clip
from sycoca.weights.conversion.open_clip_json import open_clip_json
from sycoca.weights.conversion.open_clip_shapes import UnseenForms
from sycoca.weights.conversion.pixels import OPEN_CLIP_RESIZE_MODES, open_clip_pixels
from sycoca.weights.folder import load_weights, save_weights, weights_output
from sycoca.weights.limits import cautions, limits_of_converted
from sycoca.weights.parts import save_image_encoder
from sycoca.weights.provenance import Provenance


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversion:
    """The result of a conversion."""

    model: SyCoCaConfig | ImageEncoderConfig
    """Architecture of the model, or of an image encoder alone."""

    num_parameters: int
    """Number of values of all tensors."""

    dropped: tuple[str, ...]
    """Parts that were dropped on purpose."""

    notices: tuple[str, ...]
    """Assumptions and differences, a line each."""


def from_open_clip(
    source: Path,
    out: Path,
    *,
    config_path: Path | None = None,
    tokenizer_path: Path | None = None,
    forms: UnseenForms | None = None,
    overwrite: bool = False,
) -> Conversion:
    """Convert a checkpoint of open_clip into a weights folder, see `read_open_clip`.

    The tokenizer is CLIP's, which pads with id 0 as open_clip does, or with a token of its own where the vocabulary has
    one id more; or it is that of ``tokenizer_path``. ``overwrite`` replaces a weights folder that is there already.
    Raises OutputError where ``out`` cannot be written, ValueError for anything that cannot be converted completely.
    """
    with claimed(weights_output(out, inputs=_given(source, config_path, tokenizer_path), overwrite=overwrite)):
        read = read_open_clip(source, config_path=config_path, forms=forms)
        image_size = read.model.config.image_encoder.image_size
        transforms, notices = open_clip_pixels(read.preprocessing, str(source), image_size)
        summary = f"Converted from a checkpoint of open_clip, `{source.name}`."
        _save(out, read.model, tokenizer_path, transforms, summary)
    if not read.is_described:
        notices = (_assumed(read.model.config), *notices)
    if tokenizer_path is None and read.model.config.text_encoder.vocab_size == _WITH_PADDING_SIZE:
        notices = (*notices, _OWN_PADDING_READ)
    return _conversion(read.model.config, read.model.state_dict(), read.dropped, notices)


def from_hf(
    source: Path,
    out: Path,
    *,
    tokenizer_path: Path | None = None,
    image_encoder_only: bool = False,
    overwrite: bool = False,
) -> Conversion:
    """Convert a CLIP or SigLIP of Hugging Face into a weights folder; another one into that of an image encoder alone.

    ``image_encoder_only``: the image encoder of a SigLIP alone. ``overwrite`` and errors as in `from_open_clip`.
    """
    with claimed(weights_output(out, inputs=_given(source, tokenizer_path), overwrite=overwrite)):
        return _from_hf(source, out, tokenizer_path, image_encoder_only=image_encoder_only)


def _from_hf(source: Path, out: Path, tokenizer_path: Path | None, *, image_encoder_only: bool) -> Conversion:
    if tokenizer_path is None:
        check_vocabulary(source)
    read = read_hugging_face(source, tokenizer_path=tokenizer_path, image_encoder_only=image_encoder_only)
    image_encoder = read.model.config.image_encoder if isinstance(read, HfModel) else read.config
    transforms, notices = read_hf_pixels(source, image_encoder.image_size, read.kind)
    summary = f"Converted from a model of Hugging Face's transformers, `{source.name}`."
    if isinstance(read, HfModel):
        _save(out, read.model, read.tokenizer or tokenizer_path, transforms, summary)
        return _conversion(read.model.config, read.model.state_dict(), read.dropped, notices)
    save_image_encoder(out, read.config, read.tensors, transforms, summary=summary)
    return _conversion(read.config, read.tensors, read.dropped, notices)


def _given(*paths: Path | None) -> tuple[Path, ...]:
    return tuple(path for path in paths if path is not None)


def to_open_clip(weights: Path, out: Path, *, overwrite: bool = False) -> Conversion:
    """Write a weights folder's tensors in open_clip's format, with a JSON model config beside them.

    ``out`` is a file that ends with .safetensors or .pt, whose config has the same name with .json; or a folder
    for open_clip's ``local-dir:``. ``overwrite`` replaces them. Raises OutputError where they cannot be written,
    ValueError for an architecture that open_clip does not support.
    """
    with claimed(*open_clip_outputs(out, weights, overwrite=overwrite)):
        return _to_open_clip(weights, out)


def _to_open_clip(weights: Path, out: Path) -> Conversion:
    loaded = load_weights(weights)
    tensors, dropped = open_clip_tensors(loaded.model)
    described, text = open_clip_json(loaded.model.config), loaded.model.config.text_encoder
    if has_suffix(out, ".safetensors", ".pt"):
        _write_file(out, tensors)
        write_text(out.with_suffix(".json"), json.dumps(described, indent=4) + "\n")
    else:
        _write_folder(out, tensors, described, loaded.config.transforms)
    notices = (*cautions(loaded.config, *ABILITIES), *_vocabulary_notices(loaded.tokenizer, text))
    return _conversion(loaded.model.config, tensors, dropped, notices)


def open_clip_outputs(out: Path, weights: Path, *, overwrite: bool) -> list[Output]:
    """Return the checkpoint and its config, or the folder of both."""
    inputs = with_bases(weights)
    if has_suffix(out, ".safetensors", ".pt"):
        paths = (out, out.with_suffix(".json"))
        return [Output(path=path, inputs=inputs, overwrite=overwrite) for path in paths]
    if out.suffix and not out.is_dir():
        raise OutputError(f"{out} should end with .safetensors or .pt, or be the name of a folder")
    names, noun = (CHECKPOINT_NAMES[0], OPEN_CLIP_CONFIG_NAME), "checkpoint of open_clip"
    return [Output(path=out, kind="folder", names=names, noun=noun, inputs=inputs, overwrite=overwrite)]


_OTHER_VOCABULARY = "the vocabulary is not CLIP's: to use the model, open_clip needs its tokenizer.json"

_WITH_PADDING_SIZE = CLIP_VOCAB_SIZE + 1
"""Ids of CLIP's vocabulary with the padding token of our new models."""

_OWN_PADDING_WRITTEN = (
    f"vocabulary of {_WITH_PADDING_SIZE:,} ids: CLIP's {CLIP_VOCAB_SIZE:,} and the model's own padding token, id"
    f" {CLIP_VOCAB_SIZE}, which from-open-clip restores; open_clip's tokenizer pads with id 0 instead,"
)
_ATTENDS_TO_PADDING: Mapping[ClsMask, bool] = {"correct": False, "shifted": True}
_SAME_EMBEDDINGS = "which changes nothing, since no text attends to padding"
_OTHER_EMBEDDINGS = (
    "which changes the embeddings of texts: with this [CLS] mask (shifted) they attend to one padding token"
)
_OWN_PADDING_READ = (
    f"vocabulary of {_WITH_PADDING_SIZE:,} ids: taken for CLIP's {CLIP_VOCAB_SIZE:,} and a padding token, id"
    f" {CLIP_VOCAB_SIZE}, as to-open-clip writes them; another vocabulary needs --tokenizer"
)


def _vocabulary_notices(tokenizer: Tokenizer, text: TextEncoderConfig) -> tuple[str, ...]:
    if not tokenizer.is_clip:
        return (_OTHER_VOCABULARY,)
    if tokenizer.vocab_size != _WITH_PADDING_SIZE:
        return ()
    attends = text.has_cls_token and _ATTENDS_TO_PADDING[text.cls_mask]
    return (f"{_OWN_PADDING_WRITTEN} {_OTHER_EMBEDDINGS if attends else _SAME_EMBEDDINGS}",)


def _save(
    out: Path, model: Any, tokenizer: Tokenizer | Path | None, transforms: ImageTransformConfig, summary: str
) -> None:
    limits = limits_of_converted(model.config)
    config = WeightsConfig(model=model.config, masking=MaskingConfig(), transforms=transforms, limits=limits)
    if not isinstance(tokenizer, Tokenizer):
        tokenizer = _tokenizer(model.config.text_encoder.vocab_size, tokenizer)
    save_weights(out, model, tokenizer, config, provenance=Provenance(summary=summary))


def _tokenizer(vocab_size: int, path: Path | None) -> Tokenizer:
    if path is not None:
        tokenizer = Tokenizer.load(path)
        if tokenizer.vocab_size != vocab_size:
            raise ValueError(f"{path} has {tokenizer.vocab_size:,} token ids, the checkpoint has {vocab_size:,}")
        return tokenizer
    if vocab_size == _WITH_PADDING_SIZE:
        return Tokenizer.clip(pad="own")
    if vocab_size != CLIP_VOCAB_SIZE:
        raise ValueError(
            f"the checkpoint has a vocabulary of {vocab_size:,} ids, which is not CLIP's ({CLIP_VOCAB_SIZE:,}): give"
            " its tokenizer.json with --tokenizer"
        )
    return Tokenizer.clip(pad="zero")


def _assumed(config: SyCoCaConfig) -> str:
    image, text = config.image_encoder, config.text_encoder
    heads = f"{image.num_heads} and {text.num_heads} heads, {image.activation}"
    pooler = f", {image.pooler.num_heads} pooler heads" if image.form.has_pooler else ""
    # Some CLIPs (CLIPA) have a bidirectional text encoder and other pooling, with tensors of the same names.
    pooled = "causal text encoder, global features at [CLS] and at eos"
    cls = f", [CLS] mask {text.cls_mask}" if text.has_cls_token else f", {pooled}"
    return f"assumed, since tensor shapes do not show it: {heads}{pooler}{cls}; a JSON config (--config) would state it"


def _conversion(
    model: SyCoCaConfig | ImageEncoderConfig,
    tensors: dict[str, Shaped[Tensor, "..."]],
    dropped: tuple[str, ...],
    notices: tuple[str, ...],
) -> Conversion:
    num_parameters = sum(tensor.numel() for tensor in tensors.values())
    return Conversion(model=model, num_parameters=num_parameters, dropped=dropped, notices=notices)


def _write_file(path: Path, tensors: dict[str, Shaped[Tensor, "..."]]) -> None:
    with atomic_file(path) as unfinished:
        if has_suffix(path, ".pt"):
            with unfinished.open("wb") as file:  # of a path PyTorch does not say why a write failed
                torch.save(tensors, file)
        else:
            save_file(tensors, unfinished, metadata={"format": "pt"})


def _write_folder(
    folder: Path,
    tensors: dict[str, Shaped[Tensor, "..."]],
    described: dict[str, Any],
    transforms: ImageTransformConfig,
) -> None:
    pixels = {
        "mean": transforms.mean,
        "std": transforms.std,
        "interpolation": "bicubic",
        "resize_mode": OPEN_CLIP_RESIZE_MODES[transforms.resize],
    }
    plain = {"model_cfg": described, "preprocess_cfg": pixels}
    with atomic_folder(folder) as unfinished:
        save_file(tensors, unfinished / CHECKPOINT_NAMES[0], metadata={"format": "pt"})
        text = json.dumps(plain, indent=4) + "\n"
        (unfinished / OPEN_CLIP_CONFIG_NAME).write_text(text, encoding="utf-8")
