"""The task of training on image-caption pairs: SyCoCa's three objectives."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import final

import torch
from torch import Tensor, nn

from sycoca.facts.objective_facts import ObjectiveName
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.compared import TextEmbeds
from sycoca.objectives.config import ObjectivesConfig
from sycoca.objectives.contrastive import Ranks, cached_contrastive_gradients
from sycoca.objectives.encoded_captions import keys_to_compare
from sycoca.objectives.pretraining import (
    contrast_form,
    embed_pairs,
    held_out_losses,
    pretraining_losses,
    teacher_tokens,
)
from sycoca.objectives.schedules import masks_images_at
from sycoca.records import ImageTextBatch, LossTerms, TrainingProgress
from sycoca.training.engine.distributed.shards import whole
from sycoca.training.engine.task import TrainingTask


@final
class ImageTextTask(TrainingTask[ImageTextBatch]):
    """SyCoCa's objectives on image-caption pairs, over the processes of ``ranks``, or in one process without it."""

    def __init__(
        self,
        model: SyCoCa,
        *,
        masking: MaskingConfig,
        objectives: ObjectivesConfig,
        ranks: Ranks | None = None,
        drop_path: float | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.masking = masking
        self.objectives = objectives
        self.ranks = Ranks() if ranks is None else ranks
        self.drop_path = drop_path

    def forward(self, batch: ImageTextBatch) -> LossTerms:
        """Return this micro-batch's part of the loss terms."""
        return pretraining_losses(self.model, batch, self.masking, self.objectives, self.ranks, self.drop_path)

    def held_out_losses(self, batch: ImageTextBatch) -> dict[str, Tensor]:
        """Return the losses with all patches visible to captioning, and the captioning loss under training's masks."""
        return held_out_losses(self.model, batch, self.masking, self.objectives)

    def at(self, micro_batches: Sequence[ImageTextBatch], progress: TrainingProgress) -> Sequence[ImageTextBatch]:
        """Return the micro-batches with the progress, on which masks and TG-MIM may depend."""
        return [replace(batch, progress=progress) for batch in micro_batches]

    def needs_teacher(self, micro_batches: Sequence[ImageTextBatch]) -> bool:
        """Return whether TG-MIM predicts a teacher's features in this step."""
        has_weight = self.objectives.masked_feature_weight > 0
        return has_weight and masks_images_at(self.objectives, micro_batches[0].progress)

    def with_teacher(
        self, micro_batches: Sequence[ImageTextBatch], to_device: Callable[[ImageTextBatch], ImageTextBatch]
    ) -> Sequence[ImageTextBatch]:
        """Encode all images with the averaged weights."""
        return [replace(batch, teacher_tokens=teacher_tokens(self.model, to_device(batch))) for batch in micro_batches]

    def with_global_contrast(
        self, micro_batches: Sequence[ImageTextBatch], to_device: Callable[[ImageTextBatch], ImageTextBatch]
    ) -> Sequence[ImageTextBatch]:
        """Embed all micro-batches first, so that the contrastive loss compares the whole global batch (GradCache)."""
        if len(micro_batches) == 1 or self.objectives.contrastive_weight == 0:
            return micro_batches
        embeds: list[tuple[Tensor, TextEmbeds]] = []
        keys: list[Tensor] = []
        for batch in map(to_device, micro_batches):
            embeds.append(embed_pairs(self.model, batch, self.masking, self.objectives, self.drop_path))
            own_keys = keys_to_compare(batch)
            keys += [] if own_keys is None else [own_keys]
        num_samples = micro_batches[0].totals.num_samples
        gradients = cached_contrastive_gradients(
            [images for images, _ in embeds],
            [texts for _, texts in embeds],
            self.model.logit_scale(),
            num_samples,
            self.ranks,
            torch.cat(keys) if keys else None,
            self.objectives.contrastive_block_size,
            contrast_form(self.model, self.objectives),
        )
        return [replace(batch, contrast=gradient) for batch, gradient in zip(micro_batches, gradients, strict=True)]

    def components(self) -> list[nn.Module]:
        """Return the encoders and decoders."""
        return list(self.model.children())

    def leaves_parameters_unused(self) -> bool:
        """Return whether an objective that alone trains some parameters is off (temperature, a pooler), or off in some
        steps (image decoder)."""
        if self.objectives.contrastive_weight == 0 or self.objectives.has_steps_without_masked_image:
            return True
        return self.objectives.captioning_weight == 0 and self.model.config.image_encoder.has_memory_pooler_of_its_own

    def loss_weights(self) -> dict[ObjectiveName, float]:
        """Return the weights of the config's objectives."""
        return self.objectives.weights

    def after_update(self) -> None:
        """Clamp the temperature unless it is frozen."""
        if self.model.log_logit_scale.requires_grad:
            self.model.clamp_temperature()

    def logged_values(self) -> dict[str, float]:
        """Return ``logit_scale``, the inverse temperature."""
        return {"logit_scale": whole(self.model.logit_scale()).item()}
