"""Batches of image-caption pairs."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from typing import NamedTuple, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sycoca.data.content_keys import content_key, normalized_caption
from sycoca.data.loading.crops import CropBatch
from sycoca.data.loading.order import SamplePosition
from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.preprocess.token_batch import pad_tokens
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.randomness import NUM_KEYS, derive_key
from sycoca.records import BatchTotals, Images, ImageTextBatch, MoreCaptions
from sycoca.training.recipes.image_text.caption_kinds import GeneratedRatios

KEPT_CAPTIONS = 32_768
"""Images whose captions, and captions whose tokens, are kept in memory: about 30 MB. Larger sources are encoded anew in
each epoch, one caption per image."""


class EncodedCaption(NamedTuple):
    """A caption as the model reads it."""

    tokens: list[int]
    """Token ids, cut to the context length."""

    key: int
    """Equal for captions whose normalized texts have equal tokens."""


class _Captions(NamedTuple):
    """The captions of an image by kind."""

    original: tuple[str, ...]
    generated: tuple[str, ...]


@final
class CaptionBatches:
    """Makes batches with one caption per image, sampled per epoch, or with further ones for ITC beside it."""

    def __init__(
        self,
        source: SampleSource,
        tokenizer: Tokenizer,
        context_length: int,
        seed: int,
        generated_ratio: float | None = None,
        captions_per_image: int = 1,
    ) -> None:
        """Take the data, ``data.generated_caption_ratio`` and ``objectives.captions_per_image``."""
        self._source = source
        self._tokenizer = tokenizer
        self._context_length = context_length
        self._seed = seed
        self._most_captions = captions_per_image
        self._ratios = GeneratedRatios(source, generated_ratio)
        self._encode = lru_cache(KEPT_CAPTIONS * captions_per_image)(self._encoded)
        self._captions = lru_cache(KEPT_CAPTIONS)(self._captions_of)

    def num_labels(self, position: SamplePosition) -> int:
        """Return the number of tokens to predict: all but bos."""
        return len(self._caption(position).tokens) - 1

    def batch(
        self,
        crops: CropBatch,
        images: Images,
        draw_keys: Int[Tensor, " batch"],
        totals: BatchTotals,
    ) -> ImageTextBatch:
        """Return a batch of crops with their sampled captions."""
        captions = [self._caption(position) for position in crops.positions]
        batch = self._batch(captions, crops.image_keys, images, draw_keys, totals)
        return batch if self._most_captions == 1 else replace(batch, more_captions=self._more(captions, crops, batch))

    def in_order(
        self,
        samples: Sequence[ImageTextSample],
        images: Float[Tensor, "batch 3 height width"],
        draw_keys: Int[Tensor, " batch"],
    ) -> ImageTextBatch:
        """Return a validation batch: every image with its first caption."""
        captions = [self._encode(_first_caption(sample)) for sample in samples]
        image_keys = [content_key(image.numpy().tobytes()) for image in images]
        num_labels = sum(len(caption.tokens) - 1 for caption in captions)
        totals = BatchTotals(num_samples=len(samples), num_labels=num_labels)
        return self._batch(captions, image_keys, images, draw_keys, totals)

    def _batch(
        self,
        captions: Sequence[EncodedCaption],
        image_keys: Sequence[int | None],
        images: Images,
        draw_keys: Int[Tensor, " batch"],
        totals: BatchTotals,
    ) -> ImageTextBatch:
        tokens = pad_tokens([caption.tokens for caption in captions], self._tokenizer.special.pad_id)
        keys = [key for key in image_keys if key is not None]
        has_keys = len(keys) == len(captions)
        return ImageTextBatch(
            images=images,
            tokens=tokens.tokens,
            is_padding=tokens.is_padding,
            draw_keys=draw_keys,
            totals=totals,
            num_tokens=sum(len(caption.tokens) for caption in captions),
            sample_keys=torch.tensor([keys, [caption.key for caption in captions]]).T if has_keys else None,
        )

    def _more(self, first: Sequence[EncodedCaption], crops: CropBatch, batch: ImageTextBatch) -> MoreCaptions:
        """Return the captions that are sampled for the crops' images beside the first ones."""
        num_places = self._most_captions - 1
        others = [
            list(islice(self._other_captions(position, own), num_places))
            for position, own in zip(crops.positions, first, strict=True)
        ]
        captions = [caption for own in others for caption in own]
        keys = [
            [caption.key for caption in own] + [before.key] * (num_places - len(own))
            for before, own in zip(first, others, strict=True)
        ]
        # A row for nobody gives a shape to no captions at all.
        tokens = pad_tokens([*(caption.tokens for caption in captions), [0]], self._tokenizer.special.pad_id)
        return MoreCaptions(
            tokens=tokens.tokens[:-1],
            is_padding=tokens.is_padding[:-1],
            is_caption=torch.arange(num_places) < torch.tensor([[len(own)] for own in others]),
            caption_keys=None if batch.sample_keys is None else torch.tensor(keys),
            num_tokens=sum(len(caption.tokens) for caption in captions),
        )

    def _other_captions(self, position: SamplePosition, first: EncodedCaption) -> Iterator[EncodedCaption]:
        """Yield the image's other captions of the sampled kind in random order, without those that say the same."""
        epoch, index = position
        choices = self._choices(epoch, index)
        order = sorted(
            range(len(choices)), key=lambda place: derive_key(self._seed, "further captions", epoch, index, place)
        )
        seen = {first.key}
        for caption in map(self._encode, (choices[place] for place in order)):
            if caption.key not in seen:
                seen.add(caption.key)
                yield caption

    def _encoded(self, caption: str) -> EncodedCaption:
        tokens = self._tokenizer.encode(caption, self._context_length)
        normalized = self._tokenizer.encode(normalized_caption(caption), self._context_length)
        return EncodedCaption(tokens, content_key(repr(normalized).encode()))

    def _caption(self, position: SamplePosition) -> EncodedCaption:
        """Return the caption that is sampled for an image in an epoch."""
        epoch, index = position
        choices = self._choices(epoch, index)
        return self._encode(choices[derive_key(self._seed, "caption", epoch, index) % len(choices)])

    def _choices(self, epoch: int, index: int) -> tuple[str, ...]:
        """Return the captions of the kind that is sampled for an image in an epoch, or of the only kind that it has."""
        original, generated = self._captions(index)
        ratio = self._ratios[index]
        if ratio is None or not (original and generated):
            return original or generated
        return generated if derive_key(self._seed, "caption kind", epoch, index) < ratio * NUM_KEYS else original

    def _captions_of(self, index: int) -> _Captions:
        sample = self._source[index]
        generated = () if self._ratios[index] is None else sample.generated_captions
        if not (sample.captions or generated):
            raise _without_caption(self._source.name, sample)
        return _Captions(sample.captions, generated)


def _first_caption(sample: ImageTextSample) -> str:
    if not sample.captions:
        raise _without_caption("validation", sample)
    return sample.captions[0]


def _without_caption(where: str, sample: ImageTextSample) -> ValueError:
    return ValueError(
        f"{where}: {sample.key} has no caption, and training needs one for every image; remove the image or add a"
        " caption"
    )
