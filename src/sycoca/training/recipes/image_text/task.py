"""The task of every training on image-text pairs: the objectives of SyCoCa."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sycoca.model.config import MaskingConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.objectives.contrastive import Ranks, cached_contrastive_gradients
from sycoca.objectives.pretraining import embed_pairs, pretraining_losses
from sycoca.records import ImageTextBatch, LossTerms
from sycoca.training.engine.task import TrainingTask


@final
class ImageTextTask(TrainingTask[ImageTextBatch]):
    """The objectives of SyCoCa on image-text pairs; alone unless ``ranks`` says with whom."""

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
        """Return this micro-batch's share of each objective."""
        return pretraining_losses(self.model, batch, self.masking, self.objectives, self.ranks, self.drop_path)

    def with_global_contrast(
        self, micro_batches: Sequence[ImageTextBatch], to_device: Callable[[ImageTextBatch], ImageTextBatch]
    ) -> Sequence[ImageTextBatch]:
        """Embed all micro-batches first, so that every image meets every caption of the step."""
        if len(micro_batches) == 1 or self.objectives.contrastive_weight == 0:
            return micro_batches
        embeds = [embed_pairs(self.model, to_device(batch), self.drop_path) for batch in micro_batches]
        num_samples = micro_batches[0].totals.num_samples
        shares = cached_contrastive_gradients(
            [images for images, _ in embeds],
            [texts for _, texts in embeds],
            self.model.logit_scale(),
            num_samples,
            self.ranks,
        )
        return [replace(batch, contrast=share) for batch, share in zip(micro_batches, shares, strict=True)]

    def components(self) -> list[nn.Module]:
        """Return encoders and decoders."""
        return list(self.model.children())

    def leaves_parameters_unused(self) -> bool:
        """Return whether temperature and pooled features, or the pooler of the decoder's memory, serve nothing."""
        if self.objectives.contrastive_weight == 0:
            return True
        return self.objectives.captioning_weight == 0 and self.model.config.image_encoder.has_memory_pooler_of_its_own

    def total_loss(self, terms: LossTerms) -> Float[Tensor, ""]:
        """Return the weighted sum of the objectives that are switched on."""
        weighted = [
            (self.objectives.contrastive_weight, terms.contrastive),
            (self.objectives.captioning_weight, terms.captioning),
            (self.objectives.masked_image_weight, terms.masked_image),
        ]
        return torch.stack([weight * term for weight, term in weighted if term is not None]).sum()

    def after_update(self) -> None:
        """Keep the temperature in its range, unless it is frozen."""
        if self.model.log_logit_scale.requires_grad:
            self.model.clamp_temperature()

    def logged_values(self) -> dict[str, float]:
        """Return the factor on similarities."""
        return {"logit_scale": self.model.logit_scale().item()}
