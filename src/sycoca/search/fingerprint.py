"""Fingerprints of weights: whether two models give the same embeddings, whatever their precision and device.

Weights that are loaded in a lower precision have other bits. So a model has a fingerprint for its own precision and one
for each lower one, and two models are compared in the lower one of theirs.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields

import torch
from torch import Tensor

from sycoca.inference.predictor import Predictor
from sycoca.outputs.tensor_bytes import tensor_bytes

_LOWER: Mapping[torch.dtype, tuple[torch.dtype, ...]] = {
    torch.float64: (torch.float32, torch.bfloat16, torch.float16),
    torch.float32: (torch.bfloat16, torch.float16),
    torch.bfloat16: (),
    torch.float16: (),
}
"""The precisions that weights of a precision are rounded to when they are loaded so."""

_DECODERS = ("text_decoder.", "image_decoder.", "answer_head.", "class_head.", "log_logit_scale", "logit_bias")
"""Beginnings of the names of parameters that no embedding depends on."""

_TEXTS = ("Two dogs run in the snow, a child in a RED jacket behind them.", "0123456789 .,;:!?-+*/()", "été 猫 😀")
_MOST_TOKENS = 256
"""Texts by which tokenizers are told apart: their files differ between versions of the tokenizers library."""

Fingerprints = dict[str, str]
"""SHA-256 in hexadecimal by the name of a precision, such as "float32"."""


def fingerprints(predictor: Predictor) -> Fingerprints:
    """Return the fingerprints of the weights that embed images and texts: in their own precision and in lower ones."""
    own = _precision(predictor)
    return {_name(precision): _fingerprint(predictor, precision) for precision in (own, *_LOWER[own])}


def is_same_model(known: Mapping[str, str], predictor: Predictor) -> bool:
    """Return whether a model gives the embeddings of the one with these fingerprints.

    Of two models of the same weights in bfloat16 and in float16 that cannot be known; they count as different.
    """
    own = _precision(predictor)
    precisions = [one for one in (own, *_LOWER[own]) if _name(one) in known]
    return bool(precisions) and _fingerprint(predictor, precisions[0]) == known[_name(precisions[0])]


def _precision(predictor: Predictor) -> torch.dtype:
    return predictor.model.image_encoder.patch_embedding.weight.dtype


def _name(precision: torch.dtype) -> str:
    return str(precision).removeprefix("torch.")


def _fingerprint(predictor: Predictor, precision: torch.dtype) -> str:
    digest = hashlib.sha256()
    for line in _settings(predictor):
        digest.update(line.encode() + b"\n")
    for name, tensor in _tensors(predictor):
        values = tensor.to(precision)
        digest.update(f"{name} {tuple(values.shape)}\n".encode())
        digest.update(tensor_bytes(values))
    return digest.hexdigest()


def _settings(predictor: Predictor) -> Iterator[str]:
    """Yield what embeddings depend on beside the weights: the encoders' settings, since no tensor tells its activation;
    image transforms; and how the tokenizer cuts texts."""
    for encoder in (predictor.model.config.image_encoder, predictor.model.config.text_encoder):
        # Defaults are left out, so that a later version may have more settings.
        values = {one.name: getattr(encoder, one.name) for one in fields(encoder)}
        yield repr({one.name: values[one.name] for one in fields(encoder) if values[one.name] != one.default})
    transforms = predictor.config.transforms
    yield json.dumps([transforms.mean, transforms.std, transforms.resize])
    yield json.dumps([predictor.tokenizer.encode(text, _MOST_TOKENS) for text in _TEXTS])


def _tensors(predictor: Predictor) -> Iterator[tuple[str, Tensor]]:
    # Compiled encoders keep their weights under another name.
    for name, tensor in sorted(predictor.model.state_dict().items()):
        if not name.startswith(_DECODERS):
            yield name.replace("_orig_mod.", ""), tensor
