"""Comparison of converted models with open_clip's and transformers' own, in full size.

    make parity                      # all models, with random weights
    make parity OPTIONS="--models coca_ViT-B-32 --depth 2"

Prints a table of the largest differences relative to max(1, largest output); exit code 1 if one is above its
tolerance.
"""

import argparse
import copy
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from comparison import our_outputs, relative_difference, token_rows
from hf_peers import clip_outputs, clip_peer
from open_clip_peers import model_json, open_clip_outputs, open_clip_peer
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPConfig

from sycoca.model.sycoca import SyCoCa
from sycoca.weights.conversion.hugging_face.read import hf_clip_tensors, read_hugging_face
from sycoca.weights.conversion.hugging_face.whole_model import HfModel
from sycoca.weights.conversion.open_clip import open_clip_tensors, read_open_clip
from sycoca.weights.conversion.open_clip_shapes import UnseenForms

BARS = {torch.float32: 1e-5, torch.float64: 1e-10}
OPEN_CLIP_MODELS = ("coca_ViT-B-32", "coca_ViT-L-14", "coca_base", "ViT-B-32", "ViT-B-32-quickgelu")
HF_MODEL = "transformers CLIP"
COCA2_MODELS = ("coca2_ViT-B-32 (cascade)", "coca2_ViT-B-32 (parallel)")

Pair = tuple[str, str, Tensor, Tensor]
"""What rows there are, which output it is, ours and theirs."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=[*OPEN_CLIP_MODELS, *COCA2_MODELS, HF_MODEL])
    parser.add_argument("--depth", type=int, help="layers of every tower; without it all of them")
    options = parser.parse_args()
    torch.manual_seed(0)
    failed = False
    print(f"{'model':28} {'type':8} {'rows':9} {'output':13} {'std':>7} {'difference':>11}  seconds")
    for name in options.models:
        for dtype, bar in BARS.items():
            start = time.perf_counter()
            pairs = (
                _hf_pairs(options.depth, dtype) if name == HF_MODEL else _open_clip_pairs(name, options.depth, dtype)
            )
            failed |= not _shown(name, dtype, bar, pairs, start)
    return int(failed)


def _shown(name: str, dtype: torch.dtype, bar: float, pairs: Iterator[Pair], start: float) -> bool:
    are_all_below = True
    for rows, output, ours, theirs in pairs:
        difference = relative_difference(ours, theirs)
        are_all_below &= difference <= bar
        print(
            f"{name:28} {str(dtype).removeprefix('torch.'):8} {rows:9} {output:13} {float(theirs.std()):7.3f}"
            f" {difference:11.2e}  {time.perf_counter() - start:.0f}{'' if difference <= bar else f'  ABOVE {bar}'}",
            flush=True,
        )
    return are_all_below


def _open_clip_pairs(name: str, depth: int | None, dtype: torch.dtype) -> Iterator[Pair]:
    described = _described(name, depth)
    peer = open_clip_peer(described, seed=1).to(dtype)
    converted = _converted(peer, described)
    back, _ = open_clip_tensors(converted["last"])
    yield from _there_and_back(back, peer)
    text, size = described["text_cfg"], described["vision_cfg"]["image_size"]
    context = text["context_length"]
    lengths = [7, context // 2, context]
    images = torch.randn(len(lengths), 3, size, size, dtype=dtype)
    padded = token_rows(text["vocab_size"], context, lengths, seed=2)
    cases = [("padded", converted["last"], padded, lengths)]
    if text.get("embed_cls"):  # open_clip's CLIP takes rows of the whole context alone
        cases += [
            ("unpadded", converted["row_end"], padded[:1, :7], lengths[:1]),
            ("trimmed", converted["row_end"], padded[:2, : context // 2], lengths[:2]),
        ]
    for rows, model, tokens, own in cases:
        ours = our_outputs(model, images[: len(own)], tokens, own)
        theirs = open_clip_outputs(peer, images[: len(own)], tokens, own)
        yield from ((rows, output, ours[output], theirs[output]) for output in theirs)


def _hf_pairs(depth: int | None, dtype: torch.dtype) -> Iterator[Pair]:
    config = CLIPConfig()
    if depth is not None:
        config.text_config.num_hidden_layers = config.vision_config.num_hidden_layers = depth
    torch.set_default_dtype(torch.float32)
    peer = clip_peer(config, seed=1).to(dtype)
    with tempfile.TemporaryDirectory() as folder:
        peer.save_pretrained(folder)
        read = read_hugging_face(Path(folder))
    assert isinstance(read, HfModel)
    yield from _there_and_back(hf_clip_tensors(read.model), peer)
    lengths = [7, 30, 77]
    images = torch.randn(len(lengths), 3, 224, 224, dtype=dtype)
    tokens = token_rows(config.text_config.vocab_size, 77, lengths, seed=2)
    ours, theirs = our_outputs(read.model, images, tokens, lengths), clip_outputs(peer, images, tokens, lengths)
    yield from (("padded", output, ours[output], theirs[output]) for output in theirs)


def _there_and_back(back: dict[str, Tensor], peer: nn.Module) -> Iterator[Pair]:
    """Yield the number of tensors that come back bit for bit beside the number that should."""
    own = peer.state_dict()
    num_same = sum(name in own and torch.equal(back[name], own[name]) for name in back)
    yield "tensors", "back", torch.tensor([num_same, len(back)]).double(), torch.tensor([len(own)] * 2).double()


def _described(name: str, depth: int | None) -> dict[str, Any]:
    base = "coca_ViT-B-32" if name.startswith("coca2") else name
    described = copy.deepcopy(model_json(base))
    if name.startswith("coca2"):
        described["vision_cfg"]["attentional_pool"] = "cascade" if "cascade" in name else "parallel"
        described["text_cfg"]["correct_cls_mask"] = True
    if depth is not None:
        for section in ("vision_cfg", "text_cfg", "multimodal_cfg"):
            if section in described:
                described[section]["layers"] = depth
    return described


def _converted(peer: nn.Module, described: dict[str, Any]) -> dict[str, SyCoCa]:
    """Write the peer to a file, as open_clip's users have it, and read that; once for each position of [CLS]."""
    activation = "quick_gelu" if described.get("quick_gelu") else "gelu"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "open_clip_model.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in peer.state_dict().items()}, path)
        return {
            place: read_open_clip(path, forms=UnseenForms(activation=activation, cls_position=place)).model
            for place in ("last", "row_end")
        }


if __name__ == "__main__":
    sys.exit(main())
