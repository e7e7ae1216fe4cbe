"""SyCoCa's side of the comparison: the code that users run, in open_clip's sizes."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from inputs import Inputs, retrieval_inputs
from sycoca.inference.captioning import generate_captions
from sycoca.inference.decoding.beam_search import BeamLimits, beam_search
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.inputs import image_batch
from sycoca.metrics.retrieval import retrieval_metrics, retrieval_ranks
from sycoca.model.config import ImageEncoderConfig, SyCoCaConfig, TextEncoderConfig
from sycoca.model.decoder_configs import ImageDecoderConfig, TextDecoderConfig
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.pooler_config import AttentionPoolerConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.preprocess.token_batch import encode_batch
from sycoca.preprocess.tokenizer import SpecialTokens, Tokenizer
from sycoca.records import BatchTotals, ImageTextBatch
from sycoca.training.config import OptimizerConfig, RuntimeConfig
from sycoca.training.engine.optimization.optimizer import build_optimizer
from sycoca.training.engine.runtime import Runtime
from sycoca.training.engine.update import Updater
from sycoca.training.recipes.image_text.task import ImageTextTask
from sycoca.training.runtime_config import FixedPrecision

# The uncached decoder is a reference implementation of the tests.
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from reference.uncached_rows import UncachedRows

COCA = SyCoCaConfig(
    image_encoder=ImageEncoderConfig(
        image_size=224,
        patch_size=32,
        width=768,
        depth=12,
        num_heads=12,
        pooling="attention",
        pooler=AttentionPoolerConfig(kind="single", num_queries=256, width=512, num_heads=8),
    ),
    text_encoder=TextEncoderConfig(vocab_size=49408, context_length=76, width=512, depth=12, num_heads=8),
    text_decoder=TextDecoderConfig(depth=12, num_heads=8),
    image_decoder=None,
    embed_dim=512,
)
"""coca_ViT-B-32."""

SYCOCA = replace(COCA, image_decoder=ImageDecoderConfig(width=512, depth=4, num_heads=8))
"""The same with an image decoder."""

CLIP_TOKENS = SpecialTokens(pad_id=0, bos_id=49406, eos_id=49407)


class SycocaSide:
    """The measured functions of SyCoCa: every method returns the call to time."""

    name = "sycoca"

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs

    def num_parameters(self) -> int:
        """Return the number of parameters of the model without image decoder."""
        return SyCoCa(COCA).num_parameters

    def train_itc_ic(self, *, compiled: bool = False, precision: FixedPrecision = "fp32") -> Callable[[], object]:
        """Return a training step with contrastive and captioning loss, by the updater of every run."""
        return self._step(COCA, compiled=compiled, precision=precision)

    def train_all(self, *, compiled: bool = False, precision: FixedPrecision = "fp32") -> Callable[[], object]:
        """Return a training step with all three objectives and attentive masking."""
        return self._step(SYCOCA, compiled=compiled, precision=precision)

    def train_all_activation_memory(self) -> Callable[[], object]:
        """Return forward and backward pass of all three objectives, with the allocator settings of a run."""
        task, batch = pretraining_task(SYCOCA), self._batch()
        Runtime(RuntimeConfig(device="cpu", precision="fp32"))
        return lambda: task.total_loss(task(batch)).backward()

    def caption_greedy(self) -> Callable[[], object]:
        """Return greedy decoding of 16 captions of 30 tokens."""
        return self._caption(16, num_beams=1)

    def caption_beam(self) -> Callable[[], object]:
        """Return decoding of 4 captions of 30 tokens with 6 beams."""
        return self._caption(4, num_beams=6)

    def caption_beam_cached(self) -> Callable[[], object]:
        """Return the same as `caption_beam`, for comparison with `caption_beam_uncached`."""
        return self.caption_beam()

    def caption_beam_uncached(self) -> Callable[[], object]:
        """Return the same with the tests' reference implementation, which decodes every token without a cache."""
        model, memory = self._model_and_memory(4)
        limits = BeamLimits(num_beams=6, length_penalty=1.0, min_tokens=30, max_tokens=30)
        return torch.no_grad()(
            lambda: beam_search(UncachedRows(model, memory(), rows_per_image=6), 4, CLIP_TOKENS, limits)
        )

    def preprocess_224(self) -> Callable[[], object]:
        """Return a predictor's preprocessing of small JPEGs."""
        return self._preprocess([str(path) for path in self.inputs.small_photos])

    def preprocess_2000(self) -> Callable[[], object]:
        """Return a predictor's preprocessing of large JPEGs."""
        return self._preprocess([str(path) for path in self.inputs.large_photos])

    def tokenize(self) -> Callable[[], object]:
        """Return tokenization of all captions to the same ids, padded to the longest caption."""
        tokenizer, captions = Tokenizer.clip(pad="zero"), self.inputs.captions()
        return lambda: encode_batch(tokenizer, captions, 76)

    def retrieval_scoring(self) -> Callable[[], object]:
        """Return recalls, mean and median ranks in both directions."""
        images, texts, owners = retrieval_inputs()
        return lambda: retrieval_metrics(retrieval_ranks(images, texts, owners))

    def _preprocess(self, paths: list[str]) -> Callable[[], object]:
        return lambda: image_batch(paths, 224, ImageTransformConfig())

    def _caption(self, num_images: int, *, num_beams: int) -> Callable[[], object]:
        model, memory = self._model_and_memory(num_images)
        config = GenerationConfig(num_beams=num_beams, min_tokens=30, max_tokens=30)
        return torch.no_grad()(lambda: generate_captions(model, memory(), CLIP_TOKENS, config))

    def _model_and_memory(self, num_images: int) -> tuple[SyCoCa, Callable[[], torch.Tensor]]:
        torch.manual_seed(0)
        model, (images, _) = SyCoCa(COCA).eval(), self.inputs.batch()
        return model, lambda: model.memory(model.encode_images(images[:num_images]))

    def _step(self, config: SyCoCaConfig, *, compiled: bool, precision: FixedPrecision) -> Callable[[], object]:
        task, batch = pretraining_task(config), self._batch()
        runtime = Runtime(RuntimeConfig(device="cpu", precision=precision, compile=compiled))
        optimizer = build_optimizer(task.model, OptimizerConfig())
        updater = Updater(runtime, task, optimizer, clip_norm=1.0)
        return lambda: updater.update([batch], lr=1e-6)

    def _batch(self) -> ImageTextBatch:
        return clip_batch(*self.inputs.batch())


def clip_batch(images: torch.Tensor, padded: torch.Tensor) -> ImageTextBatch:
    """Return an `ImageTextBatch` of images and CLIP's token ids, padded with 0."""
    lengths = padded.argmax(1) + 1  # the end token has the highest id
    tokens = padded[:, : int(lengths.max())]
    is_padding = torch.arange(tokens.shape[1]) >= lengths[:, None]
    return ImageTextBatch(
        images=images,
        tokens=tokens,
        is_padding=is_padding,
        draw_keys=torch.arange(len(images)),
        totals=BatchTotals(num_samples=len(images), num_labels=int((~is_padding[:, 1:]).sum())),
    )


def pretraining_task(config: SyCoCaConfig) -> ImageTextTask:
    """Return a model with its objectives; without an image decoder only ITC and IC."""
    torch.manual_seed(0)
    has_image_decoder = config.image_decoder is not None
    return ImageTextTask(
        SyCoCa(config).train(),
        masking=MaskingConfig(hides_from_captioning=has_image_decoder),
        objectives=ObjectivesConfig(masked_image_weight=float(has_image_decoder)),
    )
