"""The library's rows: training, captioning, embedding, data loading and retrieval scoring, with one shared model."""

import copy
import io
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import assert_never, final

import torch
from jaxtyping import Float
from torch import Tensor

from sycoca.experiments.benchmark.inputs import retrieval_vectors, scene_jpegs
from sycoca.experiments.benchmark.settings import BenchmarkSettings, FloatPrecision
from sycoca.experiments.benchmark.timing import BenchmarkRow
from sycoca.facts.objective_facts import OBJECTIVES, ObjectiveName
from sycoca.facts.training_facts import TRAININGS
from sycoca.inference.captioning import generate_captions
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.metrics.retrieval import retrieval_ranks
from sycoca.model.sycoca import SyCoCa
from sycoca.preprocess.decoding import open_rgb
from sycoca.preprocess.image_transforms import smallest_training_side, training_image
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.randomness import derive_generator
from sycoca.records import ImageTextBatch, pixels_of
from sycoca.training.engine.optimization.optimizer import build_optimizer
from sycoca.training.engine.runtime import Runtime
from sycoca.training.engine.update import Updater
from sycoca.training.recipes.image_text.task import ImageTextTask
from sycoca.training.recipes.pretraining.config import PretrainConfig

CAPTION_TOKENS = 30
"""Tokens of every generated caption, without eos; fewer where the context is shorter."""

NUM_BEAMS = 6

_TRAINED_FOR: Mapping[str, tuple[ObjectiveName, ...]] = {
    "train_itc": ("contrastive",),
    "train_itc_ic": ("contrastive", "captioning"),
    "train_all": TRAININGS["pretraining"].losses,
}
"""Objectives by row; the weights of the others are 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchmarkParts:
    """Shared parts of the rows, so that only one model is in memory."""

    settings: BenchmarkSettings
    """What is measured."""

    config: PretrainConfig
    """The preset."""

    runtime: Runtime
    """Device and precision."""

    tokenizer: Tokenizer
    """Trained on the scenes' captions; the model's vocabulary is larger."""

    model: SyCoCa
    """With random weights, on the device."""

    batch: ImageTextBatch
    """Scenes with captions, on the device."""

    @property
    def runtime_precision(self) -> FloatPrecision:
        """Precision of floating-point products."""
        return self.settings.facts.floating_point[-1]


def caption_tokens(config: PretrainConfig) -> int:
    """Return the tokens of generated captions: 30, or what fits between bos and eos."""
    return min(CAPTION_TOKENS, config.model.text_encoder.context_length - 2)


@final
class LibraryRows:
    """Builds rows; inputs that only one row needs are built with it."""

    def __init__(self, parts: BenchmarkParts) -> None:
        self._parts = parts
        optimizer = build_optimizer(parts.model, parts.config.optimizer)
        # All of them, whichever rows are measured, since an updater compiles the model where that is configured.
        self._updaters = {name: self._updater(optimizer, names) for name, names in _TRAINED_FOR.items()}
        self._builders: dict[str, Callable[[], BenchmarkRow]] = {
            "train_itc": lambda: self._training("train_itc"),
            "train_itc_ic": lambda: self._training("train_itc_ic"),
            "train_all": lambda: self._training("train_all"),
            "caption_greedy": lambda: self._captioning("caption_greedy", num_beams=1),
            "caption_beam": lambda: self._captioning("caption_beam", num_beams=NUM_BEAMS),
            "embed_images": self._image_embedding,
            "embed_texts": self._text_embedding,
            "load_images": self._loading,
            "retrieval_scoring": self._scoring,
        }

    def row(self, name: str) -> BenchmarkRow:
        """Return the row of that name."""
        return self._builders[name]()

    def _updater(self, optimizer: torch.optim.Optimizer, trained_for: Collection[ObjectiveName]) -> Updater:
        parts, config = self._parts, self._parts.config
        switched_off = {
            facts.weight_field: 0.0
            for name, facts in OBJECTIVES.items()
            if facts.weight_field is not None and name not in trained_for
        }
        task = ImageTextTask(
            parts.model,
            masking=config.masking,
            objectives=replace(config.objectives, **switched_off),
            drop_path=config.drop_path,
        )
        return Updater(parts.runtime, task, optimizer, clip_norm=config.training.gradient_clip_norm)

    def _training(self, name: str) -> BenchmarkRow:
        updater, batch = self._updaters[name], self._parts.batch
        # With a learning rate of 0 an update does all its work but does not change the weights, which rows share.
        return BenchmarkRow(
            name=name,
            call=lambda: updater.update([batch], lr=0.0),
            items=len(batch.tokens),
            unit="pairs",
            precision=self._parts.runtime_precision,
        )

    def _captioning(self, name: str, *, num_beams: int) -> BenchmarkRow:
        parts, tokens, model = self._parts, caption_tokens(self._parts.config), self._used_model
        config = GenerationConfig(num_beams=num_beams, min_tokens=tokens, max_tokens=tokens)
        images = self._used_images()

        def caption() -> object:
            return generate_captions(model, model.memory(model.encode_images(images)), parts.tokenizer.special, config)

        return self._inference(name, caption, unit="captions")

    def _image_embedding(self) -> BenchmarkRow:
        model, images = self._used_model, self._used_images()
        return self._inference("embed_images", lambda: model.encode_images(images).image_embeds, unit="images")

    def _text_embedding(self) -> BenchmarkRow:
        model, batch = self._used_model, self._parts.batch
        return self._inference(
            "embed_texts", lambda: model.encode_texts(batch.tokens, batch.is_padding).text_embeds, unit="texts"
        )

    def _inference(self, name: str, call: Callable[[], object], *, unit: str) -> BenchmarkRow:
        items = len(self._parts.batch.tokens)
        # Operations on integers are not counted.
        precision = None if self._used_model.is_int8 else self._parts.runtime_precision
        return BenchmarkRow(name=name, call=torch.no_grad()(call), items=items, unit=unit, precision=precision)

    @cached_property
    def _used_model(self) -> SyCoCa:
        """The model as `sycoca.load` gives it: its weights are converted once, not in every call."""
        parts = self._parts
        match parts.settings.precision:
            case "fp32":
                return parts.model
            case "bf16":
                used = copy.deepcopy(parts.model).to(torch.bfloat16)
                if parts.settings.compile:
                    used.image_encoder.compile()
                    used.text_encoder.compile()
                return used
            case "int8":
                used = copy.deepcopy(parts.model).eval()
                used.quantize()
                return used
            case unknown:
                assert_never(unknown)

    def _used_images(self) -> Tensor:
        return pixels_of(self._parts.batch.images).to(self._used_model.log_logit_scale.dtype)

    def _loading(self) -> BenchmarkRow:
        files = scene_jpegs(self._parts.settings.batch_size)
        return BenchmarkRow(
            name="load_images",
            call=lambda: torch.stack([self._crop(file, index) for index, file in enumerate(files)]),
            items=len(files),
            unit="images",
            precision=None,
        )

    def _crop(self, file: bytes, index: int) -> Float[Tensor, "3 height width"]:
        """Decode a file and take a training crop, as loader workers do."""
        transforms, image_size = self._parts.config.transforms, self._parts.config.model.image_encoder.image_size
        image = open_rgb(
            io.BytesIO(file), f"JPEG number {index}", smallest_side=smallest_training_side(image_size, transforms)
        )
        return training_image(image, image_size, transforms, derive_generator(0, "benchmark crop", index))

    def _scoring(self) -> BenchmarkRow:
        parts = self._parts
        vectors = retrieval_vectors(parts.settings.retrieval_images, parts.config.model.embed_dim, parts.runtime.device)
        return BenchmarkRow(
            name="retrieval_scoring",
            call=lambda: retrieval_ranks(vectors.images, vectors.texts, vectors.image_of_text),
            items=len(vectors.images) + len(vectors.texts),
            unit="queries",
            precision="fp32",
        )
