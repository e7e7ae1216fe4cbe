"""Batches of image-caption pairs."""

from collections.abc import Sequence
from typing import final

from jaxtyping import Float, Int
from torch import Tensor

from sycoca.data.loading.crops import CropBatch, SamplePosition
from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.preprocess.token_batch import encode_batch, pad_tokens
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.randomness import derive_key
from sycoca.records import BatchTotals, ImageTextBatch


@final
class CaptionBatches:
    """Makes batches with one caption per image, sampled per epoch."""

    def __init__(self, source: SampleSource, tokenizer: Tokenizer, context_length: int, seed: int) -> None:
        self._source = source
        self._tokenizer = tokenizer
        self._context_length = context_length
        self._seed = seed
        self._encoded: dict[int, tuple[list[int], ...]] = {}

    def num_labels(self, position: SamplePosition) -> int:
        """Return the number of tokens to predict: all but bos."""
        return len(self._tokens(position)) - 1

    def batch(
        self,
        crops: CropBatch,
        images: Float[Tensor, "batch 3 height width"],
        draw_keys: Int[Tensor, " batch"],
        totals: BatchTotals,
    ) -> ImageTextBatch:
        """Return a batch of crops with their sampled captions."""
        tokens = pad_tokens([self._tokens(position) for position in crops.positions], self._tokenizer.special.pad_id)
        return ImageTextBatch(
            images=images, tokens=tokens.tokens, is_padding=tokens.is_padding, draw_keys=draw_keys, totals=totals
        )

    def in_order(
        self,
        samples: Sequence[ImageTextSample],
        images: Float[Tensor, "batch 3 height width"],
        draw_keys: Int[Tensor, " batch"],
    ) -> ImageTextBatch:
        """Return a validation batch: every image with its first caption."""
        tokens = encode_batch(self._tokenizer, [sample.captions[0] for sample in samples], self._context_length)
        num_labels = int((~tokens.is_padding[:, 1:]).sum())
        return ImageTextBatch(
            images=images,
            tokens=tokens.tokens,
            is_padding=tokens.is_padding,
            draw_keys=draw_keys,
            totals=BatchTotals(num_samples=len(samples), num_labels=num_labels),
        )

    def _tokens(self, position: SamplePosition) -> list[int]:
        """Return the tokens of the caption that is sampled for an image in an epoch."""
        epoch, index = position
        if index not in self._encoded:
            captions = self._source[index].captions
            if not captions:
                raise ValueError(
                    f"{self._source.name}: {self._source[index].key} has no caption, and training needs one for every"
                    " image; remove the image or add a caption"
                )
            self._encoded[index] = tuple(self._tokenizer.encode(text, self._context_length) for text in captions)
        choices = self._encoded[index]
        return choices[derive_key(self._seed, "caption", epoch, index) % len(choices)]
