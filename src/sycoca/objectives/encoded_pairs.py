"""What the objectives compare: images and captions encoded, of images all patches or those that captioning sees."""

from dataclasses import dataclass
from typing import assert_never

import torch
from jaxtyping import Float
from torch import Tensor

from sycoca.model.masking import PatchChoice, choose_patches
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.compared import TextEmbeds
from sycoca.objectives.config import LEAVES_OUT_PATCHES, ObjectivesConfig
from sycoca.objectives.encoded_captions import encode_captions
from sycoca.records import EncodedImages, EncodedTexts, ImageTextBatch, pixels_of


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedPairs:
    """A batch after the encoders."""

    images: EncodedImages
    """The images, as ITC and IC use them."""

    texts: EncodedTexts
    """The first captions, as IC and TG-MIM use them."""

    compared: TextEmbeds
    """The captions that ITC compares."""

    choice: PatchChoice | None = None
    """Which patches are hidden and masked, where that was decided before the images were encoded."""

    @property
    def has_seen_patches_only(self) -> bool:
        """Whether the images lack the patches that are hidden from captioning."""
        return self.choice is not None


def encode_pairs(
    model: SyCoCa,
    batch: ImageTextBatch,
    masking: MaskingConfig,
    objectives: ObjectivesConfig,
    factors: Float[Tensor, "batch depth 2"] | None,
) -> EncodedPairs:
    """Encode images and captions with gradient; ``masking`` is that of the step, ``factors`` those of stochastic depth.

    Of images without their hidden patches those are chosen first, by a pass over all patches that has no gradient and
    no stochastic depth, at a third of the cost of one with gradient; random ones need none (A-CLIP, arXiv 2212.08653,
    but by the present weights in place of averaged ones). Reconstruction encodes the patches that match worst, so both
    passes with gradient cover one image together.
    """
    texts, compared = encode_captions(model, batch)
    if LEAVES_OUT_PATCHES[objectives.encoded_patches] and masking.hides_from_captioning:
        choice = _choose_before(model, texts, batch, masking)
        images = model.encode_images(batch.images, factors, choice.hidden.others)
        return EncodedPairs(images=images, texts=texts, compared=compared, choice=choice)
    return EncodedPairs(images=model.encode_images(batch.images, factors), texts=texts, compared=compared)


@torch.no_grad()
def _choose_before(model: SyCoCa, texts: EncodedTexts, batch: ImageTextBatch, masking: MaskingConfig) -> PatchChoice:
    match masking.strategy:
        case "attentive" | "inverse":
            return choose_for(model, model.encode_images(batch.images), texts, batch, masking)
        case "random":
            height, width = (
                side // model.config.image_encoder.patch_size for side in pixels_of(batch.images).shape[2:]
            )
            unused = texts.text_embeds.new_zeros(len(batch.tokens), height * width)
            return choose_patches(unused, masking, batch.draw_keys)
        case unknown:
            assert_never(unknown)


def choose_for(
    model: SyCoCa, images: EncodedImages, texts: EncodedTexts, batch: ImageTextBatch, masking: MaskingConfig
) -> PatchChoice:
    """Choose the patches to hide and to mask by how well they match the captions, without gradient."""
    return choose_patches(model.patch_scores(images, texts, batch.is_padding, masking.score), masking, batch.draw_keys)
