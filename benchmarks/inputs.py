"""The inputs of both sides of a comparison: the same photos, captions, files and vectors, written into a folder."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from sycoca.data.spec import open_source

_FLICKR8K = Path(__file__).resolve().parents[2] / "shared" / "data" / "flickr8k"
FLICKR8K = f"{_FLICKR8K}/captions.jsonl?images={_FLICKR8K}/images"
"""The SPEC of photos with captions that comparisons take where none is given."""

LARGE_SIDE = 2000
"""Width and height of the large JPEGs in pixels; they are mosaics of photos, so that their detail is realistic."""

NUM_PHOTOS = 64
NUM_LARGE = 4

RETRIEVAL_IMAGES, RETRIEVAL_TEXTS, RETRIEVAL_EMBED = 5_000, 25_000, 512
"""Sizes of COCO's test set, and the embedding dimension of ViT-B/32."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A folder of inputs."""

    folder: Path

    @property
    def small_photos(self) -> list[Path]:
        """JPEGs of 224 pixels."""
        return sorted((self.folder / "small").iterdir())

    @property
    def large_photos(self) -> list[Path]:
        """JPEGs of 2,000 pixels."""
        return sorted((self.folder / "large").iterdir())

    def captions(self) -> list[str]:
        """Return all captions of the data."""
        return json.loads((self.folder / "captions.json").read_text(encoding="utf-8"))

    def batch(self) -> tuple[Tensor, Tensor]:
        """Return normalized pixels, and captions as open_clip's 76 token ids, padded with 0."""
        tensors = load_file(self.folder / "batch.safetensors")
        return tensors["images"], tensors["tokens"]


def write_inputs(folder: Path, spec: str, batch_size: int) -> Inputs:
    """Write the inputs of the measurements; ``spec`` is a SPEC of photos with captions."""
    import open_clip

    source = open_source(spec)
    samples = [source[index] for index in range(NUM_PHOTOS)]
    photos = [sample.open_image().resize((224, 224), Image.Resampling.BICUBIC) for sample in samples]
    (folder / "small").mkdir()
    (folder / "large").mkdir()
    for number, photo in enumerate(photos):
        photo.save(folder / "small" / f"{number:02}.jpg", quality=90)
    for number in range(NUM_LARGE):
        _mosaic(photos, first=number * 16).save(folder / "large" / f"{number}.jpg", quality=90)
    captions = [caption for index in range(len(source)) for caption in source[index].captions]
    (folder / "captions.json").write_text(json.dumps(captions), encoding="utf-8")
    pixels = torch.from_numpy(np.stack([np.asarray(photo) for photo in photos[:batch_size]]))
    tokens = open_clip.get_tokenizer("coca_ViT-B-32")([sample.captions[0] for sample in samples[:batch_size]])
    images = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
    save_file({"images": images.contiguous(), "tokens": tokens}, folder / "batch.safetensors")
    return Inputs(folder=folder)


def retrieval_inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Return image vectors, caption vectors, and the image index of every caption."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(RETRIEVAL_IMAGES, RETRIEVAL_EMBED, generator=generator)
    owners = torch.arange(RETRIEVAL_TEXTS) % RETRIEVAL_IMAGES
    texts = images[owners] + 4 * torch.randn(RETRIEVAL_TEXTS, RETRIEVAL_EMBED, generator=generator)
    return torch.nn.functional.normalize(images, dim=1), torch.nn.functional.normalize(texts, dim=1), owners


def _mosaic(photos: list[Image.Image], first: int) -> Image.Image:
    whole = Image.new("RGB", (LARGE_SIDE, LARGE_SIDE))
    tile = LARGE_SIDE // 4
    for index in range(16):
        photo = photos[(first + index) % len(photos)].resize((tile, tile), Image.Resampling.LANCZOS)
        whole.paste(photo, (index % 4 * tile, index // 4 * tile))
    return whole
