"""The task of image classification."""

from typing import final

from jaxtyping import Float
from torch import Tensor, nn

from sycoca.facts.objective_facts import ObjectiveName
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.classification import classification_loss
from sycoca.objectives.drop_path import residual_factors
from sycoca.records import ClassBatch, LossTerms
from sycoca.training.engine.task import TrainingTask


@final
class ClassificationTask(TrainingTask[ClassBatch]):
    """Cross-entropy of the class head, with stochastic depth (drop path) in training."""

    def __init__(self, model: SyCoCa, *, drop_path: float | None) -> None:
        super().__init__()
        self.model = model
        self.drop_path = drop_path

    def forward(self, batch: ClassBatch) -> LossTerms:
        """Return this micro-batch's part of the mean cross-entropy."""
        logits = self.model.class_logits(self.model.encode_images(batch.images, self._residual_factors(batch)))
        return LossTerms(classification=classification_loss(logits, batch.targets, batch.totals.num_samples))

    def _residual_factors(self, batch: ClassBatch) -> Float[Tensor, "batch depth 2"] | None:
        if self.drop_path is None:
            return None
        depth = self.model.config.image_encoder.depth
        return residual_factors(batch.draw_keys, depth, self.drop_path, batch.targets.device)

    def components(self) -> list[nn.Module]:
        """Return the image encoder; the other components are not trained."""
        return [self.model.image_encoder]

    def leaves_parameters_unused(self) -> bool:
        """Return whether the image encoder has a pooler for the text decoder alone, which gets no gradient."""
        return self.model.config.image_encoder.has_memory_pooler_of_its_own

    def loss_weights(self) -> dict[ObjectiveName, float]:
        """Return weight 1 for the classification loss, the only term."""
        return {"classification": 1.0}

    def after_update(self) -> None:
        """Do nothing: the temperature is not trained."""

    def logged_values(self) -> dict[str, float]:
        """Return nothing."""
        return {}


def freeze_unused_parameters(model: SyCoCa) -> None:
    """Freeze the text encoder, the image projection and the temperature, which weight decay would shrink otherwise."""
    model.text_encoder.requires_grad_(False)
    model.image_encoder.projection.requires_grad_(False)
    model.log_logit_scale.requires_grad_(False)
    if model.image_encoder.mask_token is not None:
        model.image_encoder.mask_token.requires_grad_(False)
