"""Embeddings of images and texts, the base of `Predictor`."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sycoca.data.class_lists import NamedClass
from sycoca.facts.limit_facts import ABILITIES, AbilityName, PartName
from sycoca.inference.batches import in_length_order, joined_rows
from sycoca.inference.inputs import Images, image_batch, image_batches
from sycoca.inference.prompts import all_prompts, check_prompts
from sycoca.keywords import suggests_keywords
from sycoca.model.masking import caption_scores
from sycoca.model.sycoca import SyCoCa
from sycoca.precision import check_finite
from sycoca.preprocess.token_batch import TokenBatch, pad_tokens
from sycoca.preprocess.tokenizer import Tokenizer, may_be_longer
from sycoca.records import EncodedImages
from sycoca.texts import listed_texts
from sycoca.weights.config import WeightsConfig
from sycoca.weights.limits import cautions, has_part, why_missing
from sycoca.weights.parts import OPTIONAL_PARTS

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageVectors:
    """Embeddings and features of images, one row each."""

    embeddings: Float[Tensor, "images embed"]
    """In the joint space, L2-normalized."""

    features: Float[Tensor, "images features"]
    """Pooled features, before the projection into the joint space."""

    def __repr__(self) -> str:
        embed, features = self.embeddings.shape[1], self.features.shape[1]
        return f"<ImageVectors of {len(self.features):,} images: embeddings of {embed}, features of {features}>"


class Embedder:
    """A model with tokenizer and transforms that embeds images and texts; see `Predictor`."""

    def __init__(self, model: SyCoCa, tokenizer: Tokenizer, config: WeightsConfig) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.config = config
        self._cautioned: set[str] = set()

    @suggests_keywords
    def cautions(self, *abilities: AbilityName) -> tuple[str, ...]:
        """Return why results that build on these abilities of the model cannot be relied on; nothing where they can."""
        return cautions(self.config, *abilities)

    @suggests_keywords
    def check_ability(self, ability: AbilityName) -> None:
        """Raise ValueError with the reason where the model lacks the component of an ability."""
        component = ABILITIES[ability].component
        if component is not None:
            self._require(component)

    def _use(self, ability: AbilityName) -> None:
        """Log once that an ability was spoiled by training. Raises ValueError where its component is missing."""
        self.check_ability(ability)
        self._warn_once(self.cautions(ability))

    def _warn_once(self, cautions: Iterable[str]) -> None:
        for caution in cautions:
            if caution not in self._cautioned:
                self._cautioned.add(caution)
                logger.warning(caution)

    def _require(self, part: PartName) -> None:
        """Raise ValueError with the reason where the model lacks a part."""
        if not has_part(self.model.config, part):
            raise ValueError(why_missing(self.config, part))

    def __repr__(self) -> str:
        config, weight = self.model.config, self.model.log_logit_scale
        parts = [title for name, title in OPTIONAL_PARTS.items() if getattr(config, name) is not None]
        sizes = f"images of {self.image_size} px", f"texts of {self.context_length} tokens"
        what = ", ".join((f"{self.model.num_parameters:,} parameters", *sizes, *parts))
        return f"<{type(self).__name__}: {what}; {self.dtype} on {weight.device}>"

    @property
    def dtype(self) -> str:
        """Number format of the weights: float32, bfloat16, float16, or int8 (of the matrices alone)."""
        return "int8" if self.model.is_int8 else str(self.model.log_logit_scale.dtype).removeprefix("torch.")

    @property
    def image_size(self) -> int:
        """Height and width of input images in pixels."""
        return self.model.config.image_encoder.image_size

    @property
    def context_length(self) -> int:
        """Most tokens of a caption, bos and eos included; longer ones are truncated."""
        return self.model.config.text_encoder.context_length

    @suggests_keywords
    @torch.no_grad()
    def embed_images(self, images: Images, *, batch_size: int = 64) -> Float[Tensor, "images embed"]:
        """Return the embedding of each image in the joint space, L2-normalized."""
        self._use("similarities")
        vectors = joined_rows(
            (encoded.image_embeds for encoded in self._encoded(images, batch_size)), (self.model.config.embed_dim,)
        )
        check_finite(vectors, "image embedding")
        return vectors

    @suggests_keywords
    def image_features(self, images: Images, *, batch_size: int = 64) -> Float[Tensor, "images features"]:
        """Return each image's pooled features, before the projection into the joint space; linear probes use them."""
        return self.image_vectors(images, batch_size=batch_size).features

    @suggests_keywords
    @torch.no_grad()
    def image_vectors(self, images: Images, *, batch_size: int = 64) -> ImageVectors:
        """Return ``embed_images`` and ``image_features`` of the same images, in one forward pass."""
        config = self.model.config
        both = joined_rows(
            (
                torch.cat([encoded.image_embeds, self.model.image_features(encoded).float()], dim=1)
                for encoded in self._encoded(images, batch_size)
            ),
            (config.embed_dim + config.image_encoder.output_width,),
        )
        check_finite(both, "image embedding")
        return ImageVectors(embeddings=both[:, : config.embed_dim], features=both[:, config.embed_dim :])

    @suggests_keywords
    @torch.no_grad()
    def saliency(self, images: Images, *, batch_size: int = 64) -> Float[Tensor, "images patches"]:
        """Return the cosine of each patch and its own image's embedding: a patch score that knows no caption."""
        parts = (
            caption_scores(self.model.patch_embeds(encoded.patch_tokens), encoded.image_embeds)
            for encoded in self._encoded(images, batch_size)
        )
        return joined_rows(parts, (self.model.config.image_encoder.num_patches,))

    @suggests_keywords
    def num_truncated(self, texts: Iterable[str]) -> int:
        """Return how many texts have more tokens than the context, so that their ends are not read."""
        room = self.context_length
        return sum(may_be_longer(text, room) and self.tokenizer.num_tokens(text) > room for text in texts)

    @suggests_keywords
    def warn_of_truncation(self, texts: Sequence[str], noun: str = "texts") -> None:
        """Log a warning where texts are longer than the context."""
        number = self.num_truncated(texts)
        if number:
            logger.warning(
                f"{number:,} of {len(texts):,} {noun} longer than the context of {self.context_length} tokens: the rest"
                " of them is not read"
            )

    @suggests_keywords
    def check_prompts(self, classes: Sequence[NamedClass], templates: Sequence[str], *, warns: bool = True) -> None:
        """Raise ValueError for classes that their prompts do not tell apart; log a warning about truncated ones."""
        check_prompts(classes, templates, lambda prompt: self.tokenizer.encode(prompt, self.context_length))
        if warns:
            self.warn_of_truncation(all_prompts(classes, templates), "prompts")

    @suggests_keywords
    @torch.no_grad()
    def embed_texts(
        self, texts: Iterable[str], *, batch_size: int = 256, warns: bool = True
    ) -> Float[Tensor, "texts embed"]:
        """Return the embedding of each text in the joint space, L2-normalized."""
        texts = listed_texts(texts, "texts")
        self._use("similarities")
        if warns:
            self.warn_of_truncation(texts)

        def embed(sequences: Sequence[Sequence[int]]) -> Tensor:
            batch = self._padded(sequences)
            return self.model.encode_texts(batch.tokens, batch.is_padding).text_embeds

        vectors = in_length_order(embed, self._token_ids(texts), batch_size, (self.model.config.embed_dim,))
        check_finite(vectors, "text embedding")
        return vectors

    @suggests_keywords
    def similarity(
        self, images: Images, texts: Iterable[str], *, batch_size: int = 64
    ) -> Float[Tensor, "images texts"]:
        """Return the cosine similarity of every image with every text."""
        # Texts first: what is wrong with them is said before many images are embedded.
        text_embeds = self.embed_texts(texts)
        return self.embed_images(images, batch_size=batch_size) @ text_embeds.T

    def _encoded(self, images: Images, batch_size: int) -> Iterator[EncodedImages]:
        for first, batch in image_batches(images, batch_size):
            yield self.model.encode_images(self._pixels(batch, first))

    def _pixels(self, images: Sequence[object], first: int | None = 0) -> Float[Tensor, "batch 3 height width"]:
        weight = self.model.image_encoder.patch_embedding.weight
        batch = image_batch(images, self.image_size, self.config.transforms, first=first)
        return batch.to(weight.device, weight.dtype)

    def _tokens(self, texts: Sequence[str]) -> TokenBatch:
        return self._padded(self._token_ids(texts))

    def _token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.tokenizer.encode(text, self.context_length) for text in texts]

    def _padded(self, sequences: Sequence[Sequence[int]]) -> TokenBatch:
        device = self.model.log_logit_scale.device
        batch = pad_tokens(sequences, self.tokenizer.special.pad_id)
        return TokenBatch(tokens=batch.tokens.to(device), is_padding=batch.is_padding.to(device))
