"""Golden weights: very small models of every released format, and their expected outputs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.predictor import Predictor
from sycoca.model.config import ImageEncoderConfig, SyCoCaConfig, TextEncoderConfig
from sycoca.model.decoder_configs import ImageDecoderConfig, TextDecoderConfig
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.pooler_config import AttentionPoolerConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.preprocess.config import ImageTransformConfig, TokenizerConfig
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.weights.config import WeightsConfig

GOLDEN = Path(__file__).parents[1] / "weights" / "golden"

CAPTIONS = ("a red circle left of a blue square", "two dogs on a beach", "nothing that it knows: 7 Äpfel")
QUESTION = "what color is the square?"

Expected = dict[str, list]
"""Outputs of a model by name: nested lists of numbers or texts."""


def golden_predictors() -> dict[str, Predictor]:
    """Return small models with all components, by source of the architecture: paper, presets, open_clip, OpenAI,
    DINOv2, DINOv3, SigLIP."""
    tokenizer = Tokenizer.train([*CAPTIONS, QUESTION] * 2, TokenizerConfig(vocab_size=290))
    paper = _config(tokenizer.vocab_size)
    image_encoder = paper.model.image_encoder
    pooler = AttentionPoolerConfig(kind="single", num_queries=3, width=4, num_heads=2)
    by_maximum = replace(
        paper.model,
        image_encoder=replace(image_encoder, pooling="max"),
        text_encoder=replace(paper.model.text_encoder, pooling="mean"),
    )
    open_clip = replace(
        paper.model,
        image_encoder=replace(image_encoder, pooling="attention", pooler=pooler),
        text_encoder=replace(paper.model.text_encoder, cls_mask="shifted"),
    )
    openai = replace(
        paper.model,
        image_encoder=replace(image_encoder, activation="quick_gelu"),
        text_encoder=replace(paper.model.text_encoder, pooling="eos", activation="quick_gelu"),
    )
    registers = replace(paper.model, image_encoder=replace(image_encoder, num_registers=2))
    rotary = replace(image_encoder, num_heads=1, position_embedding="rotary", rope_theta=50.0, activation="swiglu")
    siglip = replace(
        paper.model,
        image_encoder=replace(image_encoder, pooling="map", activation="gelu_tanh"),
        has_logit_bias=True,
    )
    configs = {
        "paper": paper,
        "small-presets": replace(paper, model=by_maximum, masking=replace(paper.masking, score="caption")),
        "open-clip": replace(paper, model=open_clip, history=("Made of random numbers.",)),
        "openai": replace(paper, model=openai),
        "registers": replace(paper, model=registers),
        "rotary": replace(paper, model=replace(paper.model, image_encoder=rotary)),
        "siglip": replace(paper, model=siglip),
    }
    return {name: _predictor(tokenizer, config) for name, config in configs.items()}


def said(predictor: Predictor) -> Expected:
    """Return what a model says about two pictures and three captions: everything that it can do."""
    pictures = [_picture(0), _picture(1)]
    rebuilt = predictor.reconstruct(pictures[0], CAPTIONS[0], is_masked=np.eye(2, dtype=bool))
    answers = next(predictor.answers(pictures, [[QUESTION], [QUESTION]], top=3))[0]
    captions = predictor.generate(pictures, GenerationConfig(max_tokens=8))
    return {
        "image_embeds": predictor.embed_images(pictures).tolist(),
        "text_embeds": predictor.embed_texts(list(CAPTIONS)).tolist(),
        "caption_tokens": [list(caption.tokens) for caption in captions],
        "caption_log_likelihoods": predictor.caption_log_likelihood(
            pictures, list(CAPTIONS[:2]), per_token=True
        ).tolist(),
        "patch_scores": predictor.patch_scores(pictures, list(CAPTIONS[:2])).tolist(),
        "rebuilt_levels": rebuilt.reconstructed.tolist(),
        "answers": [answer.answer for answer in answers],
        "answer_probabilities": [answer.probability for answer in answers],
        "class_probabilities": predictor.class_probabilities(pictures).tolist(),
    }


def _config(vocab_size: int) -> WeightsConfig:
    return WeightsConfig(
        model=SyCoCaConfig(
            image_encoder=ImageEncoderConfig(image_size=8, patch_size=4, width=4, depth=1, num_heads=2),
            text_encoder=TextEncoderConfig(vocab_size=vocab_size, context_length=24, width=4, depth=1, num_heads=2),
            text_decoder=TextDecoderConfig(depth=1, num_heads=2),
            image_decoder=ImageDecoderConfig(width=4, depth=1, num_heads=2),
            embed_dim=4,
            num_answers=3,
            num_classes=2,
        ),
        masking=MaskingConfig(captioning_hidden_ratio=0.25),
        transforms=ImageTransformConfig(),
        answers=("red", "blue", "two dogs"),
        answers_exclude_each_other=True,
        class_names=("circle", "square"),
    )


def _predictor(tokenizer: Tokenizer, config: WeightsConfig) -> Predictor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SyCoCa(config.model).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name != "log_logit_scale":
                    # Far from zeros, ones and ties, which would hide a tensor that is not used.
                    parameter.add_(torch.randn_like(parameter), alpha=0.5)
    return Predictor(model, tokenizer, config)


def _picture(number: int) -> Image.Image:
    """Return a picture of the models' own size, which no filter touches."""
    values = np.arange(8 * 8 * 3).reshape(8, 8, 3) * (37 + 20 * number) % 256
    return Image.fromarray(values.astype(np.uint8))
