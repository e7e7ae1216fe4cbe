"""Inputs of a benchmark: built-in scenes in the sizes of a preset, and random vectors for retrieval."""

import io
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sycoca.data.content_keys import content_key
from sycoca.data.inspection.statistics import all_texts
from sycoca.data.loading.crops import CropBatch
from sycoca.data.spec import open_source
from sycoca.model.config import SyCoCaConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.preprocess.image_transforms import inference_image
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.randomness import derive_generator, derive_key
from sycoca.records import BatchTotals, ImageTextBatch
from sycoca.training.engine.limits import device_bytes, gigabytes
from sycoca.training.recipes.image_text.batches import CaptionBatches
from sycoca.training.recipes.pretraining.config import PretrainConfig

PHOTO_WIDTH, PHOTO_HEIGHT = 500, 375
"""The usual size of photos in Flickr8k and Flickr30k, in pixels."""

TEXTS_PER_IMAGE = 5
"""Captions per image in COCO and Flickr30k."""

_JPEG_QUALITY = 90
_TOKENIZER_SCENES = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrievalVectors:
    """L2-normalized vectors to rank."""

    images: Float[Tensor, "images embed"]
    """One row per image."""

    texts: Float[Tensor, "texts embed"]
    """One row per caption."""

    image_of_text: Int[Tensor, " texts"]
    """The index of each caption's image."""


def count_parameters(config: SyCoCaConfig) -> int:
    """Return the number of parameters of a model without allocating them."""
    with torch.device("meta"):
        return SyCoCa(config).num_parameters


def check_fits(config: PretrainConfig, batch_size: int, device: torch.device) -> None:
    """Raise ValueError where weights, gradients, optimizer and a batch's pixels exceed the device's memory.

    The estimate is a lower bound: activations come on top.
    """
    pixels = 3 * config.model.image_encoder.image_size**2
    needed = config.optimizer.facts.bytes_per_parameter * count_parameters(config.model) + 4 * batch_size * pixels
    available = device_bytes(device)
    if needed > available:
        raise ValueError(
            f"preset {config.preset} with batches of {batch_size:,} takes at least {gigabytes(needed)} of memory,"
            f" {device} has {gigabytes(available)}; choose a smaller --preset or --batch-size"
        )


def scene_tokenizer(config: PretrainConfig) -> Tokenizer:
    """Return a tokenizer that is trained on the scenes' captions, with a few hundred token ids at most."""
    return Tokenizer.train(all_texts(open_source(f"scenes:?level=easy&count={_TOKENIZER_SCENES}")), config.tokenizer)


def scene_batch(config: PretrainConfig, tokenizer: Tokenizer, batch_size: int) -> ImageTextBatch:
    """Return scenes of the model's size, each with as many captions as ITC compares in training."""
    image_size, most_captions = config.model.image_encoder.image_size, config.objectives.captions_per_image
    source = open_source(f"scenes:?level=easy&count={batch_size}&size={image_size}")
    opened = (source[index].open_image() for index in range(batch_size))
    images = [inference_image(image, image_size, config.transforms) for image in opened]
    context_length = config.model.text_encoder.context_length
    batches = CaptionBatches(source, tokenizer, context_length, config.seed, captions_per_image=most_captions)
    positions = tuple((0, index) for index in range(batch_size))
    keys = tuple(content_key(image.numpy().tobytes()) for image in images)
    draw_keys = torch.tensor([derive_key(config.seed, "benchmark", index) for index in range(batch_size)])
    totals = BatchTotals(num_samples=batch_size, num_labels=sum(map(batches.num_labels, positions)))
    crops = CropBatch(positions=positions, images=None, skipped=(), image_keys=keys)
    return batches.batch(crops, torch.stack(images), draw_keys, totals)


def scene_jpegs(count: int) -> list[bytes]:
    """Return scenes as JPEG files of the usual size of photos."""
    source = open_source(f"scenes:?level=easy&count={count}&size={PHOTO_WIDTH}")
    files = []
    for index in range(count):
        file = io.BytesIO()
        source[index].open_image().resize((PHOTO_WIDTH, PHOTO_HEIGHT)).save(file, "JPEG", quality=_JPEG_QUALITY)
        files.append(file.getvalue())
    return files


def retrieval_vectors(num_images: int, embed_dim: int, device: torch.device) -> RetrievalVectors:
    """Return random vectors; the cost of ranking does not depend on the values."""
    generator = derive_generator(0, "benchmark retrieval")

    def directions(count: int) -> Tensor:
        drawn = torch.randn(count, embed_dim, generator=generator)
        return torch.nn.functional.normalize(drawn, dim=1).to(device)

    num_texts = num_images * TEXTS_PER_IMAGE
    return RetrievalVectors(
        images=directions(num_images),
        texts=directions(num_texts),
        image_of_text=torch.arange(num_texts, device=device) // TEXTS_PER_IMAGE,
    )
