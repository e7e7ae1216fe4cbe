"""A small predictor with random weights in float64, its parts, and samples to try it on."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sycoca.data.samples import ImageTextSample
from sycoca.data.scenes.source import ScenesSource
from sycoca.inference.predictor import Predictor
from sycoca.model.config import ImageEncoderConfig, SyCoCaConfig, TextEncoderConfig
from sycoca.model.decoder_configs import ImageDecoderConfig, TextDecoderConfig
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.preprocess.config import ImageTransformConfig, TokenizerConfig
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.weights.config import WeightsConfig
from sycoca.weights.folder import save_weights

SCENES = ScenesSource(level="easy", count=12, split="test", size=32)
CONTEXT_LENGTH = 28


def small_tokenizer() -> Tokenizer:
    """Return a tokenizer that knows the words of the scenes."""
    captions = [caption for index in range(len(SCENES)) for caption in SCENES[index].captions]
    return Tokenizer.train(captions, TokenizerConfig(vocab_size=300))


def small_config(tokenizer: Tokenizer) -> WeightsConfig:
    """Return a model with all four components: two layers each, images of 4 x 4 patches."""
    return WeightsConfig(
        model=SyCoCaConfig(
            image_encoder=ImageEncoderConfig(image_size=32, patch_size=8, width=24, depth=2, num_heads=3),
            text_encoder=TextEncoderConfig(
                vocab_size=tokenizer.vocab_size, context_length=CONTEXT_LENGTH, width=32, depth=2, num_heads=2
            ),
            text_decoder=TextDecoderConfig(depth=2, num_heads=2),
            image_decoder=ImageDecoderConfig(width=20, depth=2, num_heads=2),
            embed_dim=10,
        ),
        masking=MaskingConfig(captioning_hidden_ratio=0.25, reconstruction_masked_ratio=0.5),
        transforms=ImageTransformConfig(),
        normalizes_patches=True,
    )


def small_predictor(**changes: object) -> Predictor:
    """Return a predictor; ``changes`` are fields of ``WeightsConfig``, ``model_...`` those of the model."""
    tokenizer = small_tokenizer()
    of_model = {name.removeprefix("model_"): value for name, value in changes.items() if name.startswith("model_")}
    of_weights = {name: value for name, value in changes.items() if not name.startswith("model_")}
    config = small_config(tokenizer)
    config = replace(config, **of_weights, model=replace(config.model, **of_model))
    model = SyCoCa(config.model).double().eval()
    _roughen(model)
    if model.text_decoder is not None:
        # Sharp predictions, so that captions differ and none is a tie.
        with torch.no_grad():
            model.text_decoder.vocabulary.weight.mul_(2)
    return Predictor(model, tokenizer, config)


def save_small_weights(folder: Path, seed: int = 1) -> Path:
    """Write the weights folder of a small model in float32, the same every time."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        predictor = small_predictor()
    save_weights(folder, predictor.model.float(), predictor.tokenizer, predictor.config)
    return folder


def _roughen(model: SyCoCa) -> None:
    # Biases of zero and norms of one would hide a tensor that is not used.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name != "log_logit_scale":
                parameter.add_(torch.randn_like(parameter), alpha=0.2)


def photo(width: int = 40, height: int = 36, seed: int = 0) -> Image.Image:
    """Return a picture of smooth random colors."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def photos(count: int) -> list[Image.Image]:
    """Return different pictures."""
    return [photo(seed=seed) for seed in range(count)]


def open_photo(seed: int, _smallest_side: int | None = None) -> Image.Image:
    """Return a picture as a sample's opener does."""
    return photo(seed=seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class ListSource:
    """Samples in a list."""

    samples: tuple[ImageTextSample, ...]
    name: str = "a list"

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> ImageTextSample:
        return self.samples[index]


def photo_source(captions: list[tuple[str, ...]]) -> ListSource:
    """Return one photo per tuple of captions, without further truth."""
    return ListSource(
        samples=tuple(
            ImageTextSample(key=f"photo-{index}", captions=texts, open_image=partial(open_photo, index))
            for index, texts in enumerate(captions)
        )
    )
