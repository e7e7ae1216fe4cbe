"""The captioners of the comparison with transformers, with random weights; each generates a fixed number of tokens."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn
from transformers import BlipConfig, BlipForConditionalGeneration, GitConfig, GitForCausalLM

from sycoca.inference.captioning import generate_captions
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.model.sycoca import SyCoCa
from sycoca_side import CLIP_TOKENS, COCA

BERT_HEADS = 12
"""Heads of BERT-base, which BLIP-base's decoder is; transformers' default has 8."""


class Captioner(Protocol):
    """A model that captions normalized pixels."""

    image_size: int
    """Width and height of its images in pixels."""

    end_id: int
    """The token with which a caption would end."""

    model: nn.Module

    def encode(self, images: Tensor) -> object:
        """Encode images, as far as this does not depend on the caption."""
        ...

    def captions(self, images: Tensor, num_beams: int, num_tokens: int) -> Sequence[Sequence[int]]:
        """Encode images and return the tokens generated for each of them."""
        ...


class SycocaCaptioner:
    """A CoCa of this library: ``coca_ViT-B-32``, or the same with another patch size."""

    end_id = CLIP_TOKENS.eos_id

    def __init__(self, patch_size: int) -> None:
        encoder = replace(COCA.image_encoder, patch_size=patch_size)
        self.image_size = encoder.image_size
        self.model = SyCoCa(replace(COCA, image_encoder=encoder))

    def encode(self, images: Tensor) -> Tensor:
        """Return what the text decoder attends to."""
        return self.model.memory(self.model.encode_images(images))

    def captions(self, images: Tensor, num_beams: int, num_tokens: int) -> Sequence[Sequence[int]]:
        """Return tokens as a predictor generates them."""
        config = GenerationConfig(num_beams=num_beams, min_tokens=num_tokens, max_tokens=num_tokens)
        return [caption.tokens for caption in generate_captions(self.model, self.encode(images), CLIP_TOKENS, config)]


class BlipCaptioner:
    """BLIP-base: a ViT-B/16 and a BERT-base that attends to it."""

    def __init__(self, image_size: int) -> None:
        self.image_size = image_size
        text = {"num_attention_heads": BERT_HEADS}
        config = BlipConfig(text_config=text, vision_config={"image_size": image_size})
        self.model = BlipForConditionalGeneration(config)
        self.end_id = config.text_config.sep_token_id

    def encode(self, images: Tensor) -> object:
        """Return the states of the vision transformer."""
        return self.model.vision_model(pixel_values=images)

    def captions(self, images: Tensor, num_beams: int, num_tokens: int) -> Sequence[Sequence[int]]:
        """Return the tokens after the first, which is bos."""
        return _generated(self.model, images, num_beams, num_tokens)


class GitCaptioner:
    """GIT-base: a ViT-B/16 whose tokens are the prefix of a decoder of six layers."""

    def __init__(self) -> None:
        config = GitConfig()
        self.image_size = config.vision_config.image_size
        self.model = GitForCausalLM(config)
        self.end_id = config.eos_token_id

    def encode(self, images: Tensor) -> object:
        """Return the projected states of the vision transformer."""
        return self.model.git.visual_projection(self.model.git.image_encoder(images).last_hidden_state)

    def captions(self, images: Tensor, num_beams: int, num_tokens: int) -> Sequence[Sequence[int]]:
        """Return the tokens after the first, which is bos."""
        return _generated(self.model, images, num_beams, num_tokens)


def _generated(model: nn.Module, images: Tensor, num_beams: int, num_tokens: int) -> Sequence[Sequence[int]]:
    ids = model.generate(
        pixel_values=images,
        num_beams=num_beams,
        do_sample=False,
        min_new_tokens=num_tokens,
        max_new_tokens=num_tokens,
        use_cache=True,
    )
    return ids[:, 1:].tolist()


BUILDERS = {
    "sycoca_b32_224": lambda: SycocaCaptioner(patch_size=32),
    "sycoca_b16_224": lambda: SycocaCaptioner(patch_size=16),
    "blip_base_224": lambda: BlipCaptioner(image_size=224),
    "blip_base_384": lambda: BlipCaptioner(image_size=384),
    "git_base_224": GitCaptioner,
}
"""Constructors by name: model, and image size in pixels."""


def build_captioners(names: Sequence[str], dtype: torch.dtype) -> dict[str, Captioner]:
    """Return captioners with random weights, for inference."""
    torch.manual_seed(0)
    captioners = {name: BUILDERS[name]() for name in names}
    for captioner in captioners.values():
        captioner.model.eval().to(dtype)
    return captioners
