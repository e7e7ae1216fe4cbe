"""Comparison of greedy captions of a converted model with open_clip's, token by token.

    make parity-captions DATA=photos

Takes coca_ViT-B-32 with random weights, and scales images up until their captions differ. Exit code 1 if a caption
differs at a position where the two largest logits are not nearly equal.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import importable_torchvision  # noqa: F401 (first)
import torch
from open_clip.transform import image_transform
from open_clip_peers import model_json, open_clip_peer
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.load import load
from sycoca.weights.conversion.convert import from_open_clip

MODEL = "coca_ViT-B-32"
BOS, EOS = 49406, 49407
LENGTH = 30
FEWEST = 5
AS_GOOD_AS_EQUAL = 1e-4
BATCH = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of pictures")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--distinct", type=int, default=50)
    options = parser.parse_args()
    paths = sorted(options.photos.iterdir())[: options.count]
    peer = open_clip_peer(model_json(MODEL), seed=1)
    transform = image_transform(224, is_train=False)
    pixels = torch.stack([transform(Image.open(path).convert("RGB")) for path in paths])
    gain, theirs = 1, _their_captions(peer, pixels)
    while len({tuple(caption) for caption in theirs}) < options.distinct:
        gain *= 2
        _strengthen_image(peer, 2.0)
        theirs = _their_captions(peer, pixels)
    ours = _our_captions(peer, paths)
    close, wrong = 0, 0
    for place, (own, other) in enumerate(zip(ours, theirs, strict=True)):
        if own != other:
            gap = _gap_at_first_difference(peer, pixels[place], own, other)
            close, wrong = (close + 1, wrong) if gap <= AS_GOOD_AS_EQUAL else (close, wrong + 1)
    lengths = [len(caption) for caption in theirs]
    print(
        f"{len(paths)} photos, image side x {gain}: {len({tuple(caption) for caption in theirs})} distinct captions of"
        f" {min(lengths)} to {max(lengths)} tokens; {len(paths) - close - wrong} equal token for token, {close} differ"
        f" where the best two logits lie within {AS_GOOD_AS_EQUAL}, {wrong} differ otherwise"
    )
    return int(wrong > 0)


@torch.no_grad()
def _strengthen_image(peer: nn.Module, gain: float) -> None:
    for block in peer.text_decoder.cross_attn:
        block.attn.out_proj.weight.mul_(gain)


@torch.no_grad()
def _their_captions(peer: nn.Module, pixels: Tensor) -> list[list[int]]:
    captions: list[list[int]] = []
    for start in range(0, len(pixels), BATCH):
        rows = peer.generate(
            pixels[start : start + BATCH], generation_type="top_k", top_k=1, seq_len=LENGTH, min_seq_len=FEWEST
        )
        captions += [row[1 : row.index(EOS)] if EOS in row else row[1:] for row in rows.tolist()]
    return captions


def _our_captions(peer: nn.Module, paths: list[Path]) -> list[list[int]]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "open_clip_model.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in peer.state_dict().items()}, file)
        from_open_clip(file, Path(folder) / "weights")
        predictor = load(Path(folder) / "weights", device="cpu")
    # Theirs count the start and the end.
    config = GenerationConfig(min_tokens=FEWEST - 1, max_tokens=LENGTH - 2)
    return [list(caption.tokens) for caption in predictor.generate(paths, config, batch_size=BATCH)]


@torch.no_grad()
def _gap_at_first_difference(peer: nn.Module, pixels: Tensor, own: list[int], other: list[int]) -> float:
    """Return how far apart the best two logits are where two captions part."""
    same = next((place for place, pair in enumerate(zip(own, other, strict=False)) if pair[0] != pair[1]), None)
    prefix = [BOS, *other[: min(len(own), len(other)) if same is None else same]]
    logits = peer(pixels[None], torch.tensor([prefix]), output_labels=False)["logits"][0, -1]
    best = logits.topk(2).values
    return float(best[0] - best[1])


if __name__ == "__main__":
    sys.exit(main())
