"""The configuration of pretraining. Imports no torch, so that presets load at once."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from sycoca.facts.head_facts import HEADS
from sycoca.facts.objective_facts import WEIGHT_FIELD_OF_COMPONENT
from sycoca.model.config import SyCoCaConfig, TextEncoderConfig
from sycoca.model.masking_config import MaskingConfig
from sycoca.objectives.config import ObjectivesConfig
from sycoca.preprocess.config import ImageTransformConfig, TokenizerConfig
from sycoca.training.config import RunConfig
from sycoca.training.recipes.frozen_parts_config import check_cached_views
from sycoca.training.recipes.image_text.groups import check_groups
from sycoca.training.recipes.pretraining.initial_weights_config import InitialWeightsConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainConfig(RunConfig):
    """Pretraining on image-caption pairs."""

    command: ClassVar[str] = "pretrain"

    preset: str
    """The preset that this configuration is based on."""

    model: SyCoCaConfig = field(default_factory=SyCoCaConfig)
    """Sizes of the components."""

    masking: MaskingConfig = field(default_factory=MaskingConfig)
    """Which patches are hidden from captioning and which are masked for reconstruction."""

    objectives: ObjectivesConfig = field(default_factory=ObjectivesConfig)
    """The objectives and their weights; a decoder whose objective has weight zero is not built."""

    transforms: ImageTransformConfig = field(default_factory=ImageTransformConfig)
    """Image preprocessing and augmentation."""

    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    """The tokenizer: trained on the training captions (and questions, if any), or CLIP's."""

    start: InitialWeightsConfig = field(default_factory=InitialWeightsConfig)
    """Initial weights; by default training starts from scratch."""

    drop_path: float | None = None
    """Stochastic depth (drop path) rate of the image encoder's last block, linearly less in earlier blocks; None for
    none."""

    def __post_init__(self) -> None:
        if self.tokenizer.trained_ids > self.model.text_encoder.vocab_size:
            raise ValueError(
                f"tokenizer.vocab_size {self.tokenizer.vocab_size} is more than the"
                f" {self.model.text_encoder.vocab_size} of model.text_encoder.vocab_size; set both"
            )
        for facts in HEADS.values():
            if getattr(self.model, facts.size_field) is not None:
                raise ValueError(
                    f"model.{facts.size_field} is set by sycoca finetune {facts.training}, not in pretraining"
                )
        if self.drop_path is not None and not 0 < self.drop_path < 1:
            raise ValueError(f"drop_path must lie between 0 and 1, got {self.drop_path}; None switches it off")
        for component, objective in WEIGHT_FIELD_OF_COMPONENT.items():
            if getattr(self.model, component) is None and getattr(self.objectives, objective) != 0:
                raise ValueError(
                    f"objectives.{objective} is {getattr(self.objectives, objective)} but model.{component} is null;"
                    " give its sizes or set the weight to 0"
                )
        _check_captioner(self.model.text_encoder, self.objectives)
        check_groups(self.objectives, self.training)
        if self.objectives.masked_feature_weight > 0 and self.training.average_decay is None:
            raise ValueError(
                "objectives.masked_feature_weight needs a teacher, the average of the weights: set"
                " training.average_decay (0.99, for example), or the weight to 0"
            )
        self.objectives.check_encoded_patches(
            hides_from_captioning=self.masking.hides_from_captioning,
            hidden_share=self.masking.captioning_hidden_share,
            masks_in_image_encoder=self.model.image_decoder is not None
            and self.model.image_decoder.masks_in_image_encoder,
        )
        prevents_caching = {
            "drop_path": self.drop_path,
            **self.objectives.prevents_caching,
        }
        check_cached_views(self.data, self.start.frozen, "--start.frozen", prevents_caching)


def _check_captioner(text: TextEncoderConfig, objectives: ObjectivesConfig) -> None:
    """Raise ValueError where a captioner would see the words that it is to predict."""
    if objectives.captioning_weight > 0 and not text.form.is_causal:
        raise ValueError(
            f"with model.text_encoder.pooling {text.pooling} tokens attend to later ones, which a captioner would see:"
            " set objectives.captioning_weight to 0; of a SigLIP, sycoca convert from-hf --image-encoder-only gives the"
            " part that a captioner can start from"
        )


def resolved_model_config(config: PretrainConfig, vocab_size: int) -> SyCoCaConfig:
    """Return the model config that is built: with the tokenizer's vocabulary size and no decoder without objective."""
    unused = {
        name: None for name, weight in WEIGHT_FIELD_OF_COMPONENT.items() if getattr(config.objectives, weight) == 0
    }
    changes: dict[str, Any] = {
        "text_encoder": replace(config.model.text_encoder, vocab_size=vocab_size),
        "image_decoder": None
        if config.model.image_decoder is None
        else replace(config.model.image_decoder, predicts_features=config.objectives.masked_feature_weight > 0),
        "has_logit_bias": config.objectives.needs_logit_bias,
    }
    return replace(config.model, **{**changes, **unused})
