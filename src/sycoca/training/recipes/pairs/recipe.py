"""Fine-tuning on image-caption pairs, for retrieval or captioning."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, assert_never

from sycoca.data.samples import SampleSource
from sycoca.evaluation.captioning import CaptioningOptions, evaluate_captioning
from sycoca.evaluation.retrieval import evaluate_retrieval
from sycoca.evaluation.sharding import Sharding
from sycoca.facts.objective_facts import WEIGHT_FIELD_OF_COMPONENT
from sycoca.inference.predictor import Predictor
from sycoca.model.config import SyCoCaConfig
from sycoca.model.masking_config import MaskingConfig
from sycoca.objectives.config import ObjectivesConfig
from sycoca.objectives.contrastive import Ranks
from sycoca.training.engine.runtime import Runtime
from sycoca.training.recipes.finetuning import Finetuning, without_heads
from sycoca.training.recipes.frozen_parts import check_trains_in_all_steps
from sycoca.training.recipes.image_text.batches import CaptionBatches
from sycoca.training.recipes.image_text.groups import check_groups
from sycoca.training.recipes.image_text.recipe import ImageTextRecipe
from sycoca.training.recipes.image_text.task import ImageTextTask
from sycoca.training.recipes.notices import KEEP_AND_AVERAGE, forgetting_notice
from sycoca.training.recipes.pairs.config import FinetunePairsConfig
from sycoca.training.recipes.recipe import TrainedParts
from sycoca.training.run_folder import RunFolder
from sycoca.weights.config import WeightsConfig
from sycoca.weights.limits import has_part, why_missing


def masking_of(weights: WeightsConfig, config: FinetunePairsConfig) -> MaskingConfig:
    """Return the masking of a fine-tuning: that of the weights' training, but by score from the first step.

    Scores of trained weights mean something at once.
    """
    return replace(weights.masking, hides_from_captioning=config.hides_from_captioning, attentive_from=0.0)


class PairsFinetuning(ImageTextRecipe[FinetunePairsConfig], Finetuning[FinetunePairsConfig]):
    """Pretraining's objectives with other weights, from a pretrained model."""

    @property
    def commands_to_try(self) -> tuple[str, ...]:
        """A caption, and evaluation of both tasks."""
        return (
            "sycoca caption {weights} photo.jpg --num-beams 4",
            "sycoca evaluate captioning {weights} --data captions.jsonl",
            "sycoca evaluate retrieval {weights} --data captions.jsonl",
        )

    @property
    def objectives_config(self) -> ObjectivesConfig:
        """The objectives of the recipe's config."""
        return self.config.objectives

    @property
    def truncation_remedy(self) -> str:
        """Other weights: these determine tokenizer and context."""
        return "weights pretrained with --tokenizer.kind clip or with a longer context avoid this"

    def build(self, source: SampleSource, folder: RunFolder, runtime: Runtime) -> TrainedParts:  # noqa: ARG002
        """Build the pretrained model without the decoders that no objective trains."""
        self._read_source = source
        config, loaded = self.config, self.loaded()
        check_groups(config.objectives, config.training, runtime.world_size)
        model_config = self._model_config(loaded.config)
        masking, decoder = masking_of(loaded.config, config), model_config.image_decoder
        config.objectives.check_encoded_patches(
            hides_from_captioning=masking.hides_from_captioning,
            hidden_share=masking.captioning_hidden_share,
            masks_in_image_encoder=decoder is not None and decoder.masks_in_image_encoder,
        )
        weights = self.weights_config(
            loaded,
            model=model_config,
            masking=masking,
            normalizes_patches=config.objectives.normalizes_patches,
            captioning_dropped_share=config.objectives.captioning_dropped_share,
        )
        model = self.initial_model(loaded, weights).to(runtime.device)
        check_trains_in_all_steps(model, config.objectives)
        ranks = Ranks(gather=runtime.gather, rank=runtime.rank)
        context_length = model_config.text_encoder.context_length
        return TrainedParts(
            tokenizer=loaded.tokenizer,
            model=model,
            weights=weights,
            limits=self.limits(loaded, model),
            task=ImageTextTask(model, masking=masking, objectives=config.objectives, ranks=ranks),
            validation_task=ImageTextTask(model, masking=masking, objectives=config.objectives),
            batch_maker=CaptionBatches(
                source,
                loaded.tokenizer,
                context_length,
                config.seed,
                config.data.generated_caption_ratio,
                config.objectives.captions_per_image,
            ),
            compares_samples=config.objectives.compares_samples,
        )

    def notices(self, trained: TrainedParts) -> Iterator[str]:
        """Warn of truncated captions, of a learning rate that is too high, and of forgetting."""
        yield from super().notices(trained)
        if self.config.objectives.contrastive_weight == 0:
            yield from forgetting_notice(trained.model, KEEP_AND_AVERAGE)

    def measure(self, predictor: Predictor, source: SampleSource, sharding: Sharding) -> dict[str, float]:
        """Return the retrieval metrics, and the captioning metrics where the task is captioning."""
        metrics = dict(evaluate_retrieval(predictor, source, sharding=sharding).metrics)
        if self._measures_captions() and predictor.model.text_decoder is not None:
            options = CaptioningOptions(with_meteor=False)  # METEOR would start Java at every validation
            metrics |= evaluate_captioning(predictor, source, options=options, sharding=sharding).metrics
        return metrics

    def _measures_captions(self) -> bool:
        match self.config.task:
            case "retrieval":
                return False
            case "captioning":
                return True
            case unknown:
                assert_never(unknown)

    def _model_config(self, old: WeightsConfig) -> SyCoCaConfig:
        changes: dict[str, Any] = {"has_logit_bias": self.config.objectives.needs_logit_bias}
        for component, objective in WEIGHT_FIELD_OF_COMPONENT.items():
            if getattr(self.config.objectives, objective) == 0:
                changes[component] = None
            elif not has_part(old.model, component):
                raise ValueError(
                    f"{self.config.weights}: {why_missing(old, component)}; objectives.{objective} trains it, set"
                    f" --objectives.{objective.replace('_', '-')} 0"
                )
        if "image_decoder" not in changes and old.model.image_decoder is not None:
            changes["image_decoder"] = replace(old.model.image_decoder, predicts_features=False)
        return replace(old.model, **without_heads(changes))
