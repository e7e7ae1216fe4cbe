"""Pretraining with the paper's three objectives, from scratch or from initial weights."""

from collections.abc import Iterator
from dataclasses import replace

from sycoca.data.samples import SampleSource
from sycoca.data.selection import spread_samples
from sycoca.evaluation.grounding import evaluate_grounding
from sycoca.evaluation.retrieval import evaluate_retrieval
from sycoca.evaluation.sharding import Sharding
from sycoca.facts.limit_facts import ModelLimits
from sycoca.facts.paper_facts import deviations
from sycoca.facts.training_facts import TrainingKind
from sycoca.inference.predictor import Predictor
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.objectives.contrastive import Ranks
from sycoca.training.checkpoint_copies import checkpoints_in
from sycoca.training.engine.runtime import Runtime
from sycoca.training.recipes.frozen_parts import check_trains_in_all_steps, freeze, trains_encoders
from sycoca.training.recipes.image_text.batches import CaptionBatches
from sycoca.training.recipes.image_text.groups import check_groups
from sycoca.training.recipes.image_text.recipe import ImageTextRecipe
from sycoca.training.recipes.image_text.task import ImageTextTask
from sycoca.training.recipes.initial_model import build_model
from sycoca.training.recipes.notices import KEEP_AND_AVERAGE, forgetting_notice, high_rate_notice
from sycoca.training.recipes.pretraining.config import PretrainConfig, resolved_model_config
from sycoca.training.recipes.pretraining.initial_weights import (
    InitialWeightsRecord,
    fill_from_weights,
    grouped,
    start_lines,
    with_sizes_of_weights,
)
from sycoca.training.recipes.pretraining.vocabulary import (
    Vocabulary,
    shared_tokenizer,
    vocabulary_of,
)
from sycoca.training.recipes.recipe import TrainedParts
from sycoca.training.run_folder import RunFolder
from sycoca.weights.config import WeightsConfig
from sycoca.weights.hub import local_weights, pinned_weights
from sycoca.weights.limits import limits_after_training
from sycoca.weights.parts import LoadedParts, load_parts

_OF_THE_DATA = frozenset(
    {"mask_coverage_largest", "mask_coverage_random", "grounding_average_precision_largest", "described_ratio"}
)
"""The grounding metrics that depend on the data alone."""


class Pretraining(ImageTextRecipe[PretrainConfig]):
    """Pretraining on image-caption pairs."""

    def __init__(
        self, config: PretrainConfig, replaced: tuple[str, ...] = (), *, most_read_samples: int | None = None
    ) -> None:
        """Take a config adapted to its initial weights, if any, by changing the fields ``replaced``.

        ``most_read_samples`` limits whose texts are read before the first step, in a dry run; None reads all.
        """
        super().__init__(config)
        self._replaced = replaced
        self._record: InitialWeightsRecord | None = None
        self._most_read_samples = most_read_samples
        self.vocabulary: Vocabulary | None = None

    @classmethod
    def for_new_run(cls, config: PretrainConfig, *, most_read_samples: int | None = None) -> "Pretraining":
        """Return the recipe of a new run, adapted to its initial weights; raises ValueError where they do not fit."""
        if config.start.weights is not None:
            config = replace(config, start=replace(config.start, weights=pinned_weights(config.start.weights)))
        started = with_sizes_of_weights(config)
        return cls(started.config, started.replaced, most_read_samples=most_read_samples)

    @property
    def training(self) -> TrainingKind:
        """Pretraining."""
        return "pretraining"

    @property
    def title(self) -> str:
        """The preset."""
        return self.config.preset

    @property
    def description(self) -> str:
        """The initial weights or "from scratch", and the preset."""
        weights = self.config.start.weights
        return f"trained from {'scratch' if weights is None else f'`{weights}`'} (preset `{self.config.preset}`)"

    @property
    def base(self) -> str | None:
        """The initial weights, if any."""
        return self.config.start.weights

    @property
    def deviations(self) -> list[str]:
        """How the configuration differs from the paper's method."""
        return deviations(self.config)

    @property
    def commands_to_try(self) -> tuple[str, ...]:
        """A caption, an explanation, and evaluation of retrieval."""
        return (
            "sycoca caption {weights} photo.jpg",
            "sycoca explain {weights} photo.jpg 'what it shows' --out explained.png",
            "sycoca evaluate retrieval {weights} --data captions.jsonl",
        )

    @property
    def objectives_config(self) -> ObjectivesConfig:
        """The objectives of the recipe's config."""
        return self.config.objectives

    @property
    def truncation_remedy(self) -> str:
        """A longer context, or a vocabulary of more words; both come with initial weights of a whole model."""
        return "--model.text-encoder.context-length makes it longer, and --tokenizer.kind clip has a large vocabulary"

    def build(self, source: SampleSource, folder: RunFolder, runtime: Runtime) -> TrainedParts:
        """Build the tokenizer and the model, and load the initial weights, if any."""
        config = self.config
        check_groups(config.objectives, config.training, runtime.world_size)
        most = self._most_read_samples
        self._read_source = source if most is None else spread_samples(source, most)
        # A checkpoint holds all tensors: a resumed run does not need the weights.
        is_new = not checkpoints_in(folder.checkpoints)
        weights = config.start.weights if is_new else None
        parts = None if weights is None else load_parts(local_weights(weights))
        tokenizer = shared_tokenizer(config, self._read_source, runtime, folder.tokenizer, parts)
        is_trained = config.tokenizer.trained_ids > 0 and (parts is None or parts.tokenizer is None)
        self.vocabulary = vocabulary_of(config, tokenizer, self._read_source, is_trained=is_trained)
        model = build_model(resolved_model_config(config, self.vocabulary.num_ids), config.seed)
        lr_ratios = {} if config.start.weights is None else self._start(model, parts, folder, runtime)
        model = model.to(runtime.device)
        ranks = Ranks(gather=runtime.gather, rank=runtime.rank)
        return TrainedParts(
            tokenizer=tokenizer,
            model=model,
            weights=WeightsConfig(
                model=model.config,
                masking=config.masking,
                transforms=config.transforms,
                normalizes_patches=config.objectives.normalizes_patches,
                captioning_dropped_share=config.objectives.captioning_dropped_share,
                history=() if self._record is None else self._record.history,
            ),
            limits=self._limits(model, None) if self._record is None else self._record.limits,
            task=ImageTextTask(
                model,
                masking=config.masking,
                objectives=config.objectives,
                ranks=ranks,
                drop_path=config.drop_path,
            ),
            validation_task=ImageTextTask(model, masking=config.masking, objectives=config.objectives),
            batch_maker=CaptionBatches(
                source,
                tokenizer,
                model.config.text_encoder.context_length,
                config.seed,
                config.data.generated_caption_ratio,
                config.objectives.captions_per_image,
            ),
            compares_samples=config.objectives.compares_samples,
            lr_ratios=lr_ratios,
        )

    def summary(self, trained: TrainedParts) -> Iterator[str]:
        """Yield what was loaded from the initial weights."""
        if self._record is None:
            return
        yield from start_lines(trained.model, self.config.start, self._record)
        if self._replaced:
            preset = self.config.preset
            yield f"fields of preset {preset} replaced by those of the weights: {grouped(self._replaced)}"

    def notices(self, trained: TrainedParts) -> Iterator[str]:
        """Warn of truncated captions, and where training would spoil the initial weights."""
        yield from super().notices(trained)
        if self._record is None:
            return
        config, model = self.config, trained.model
        if config.objectives.contrastive_weight == 0:
            yield from forgetting_notice(model, KEEP_AND_AVERAGE)
        yield from high_rate_notice(
            model,
            self._record.loaded,
            config.optimizer,
            trained.lr_ratios,
            "--start.lr-ratio or --optimizer.peak-lr",
        )

    def measure(self, predictor: Predictor, source: SampleSource, sharding: Sharding) -> dict[str, float]:
        """Return the retrieval metrics, and those of grounding where the described pixels are known."""
        metrics = dict(evaluate_retrieval(predictor, source, sharding=sharding).metrics)
        if source[0].described_pixels is not None:
            grounding = evaluate_grounding(predictor, source, sharding=sharding).metrics
            metrics |= {name: value for name, value in grounding.items() if name not in _OF_THE_DATA}
        return metrics

    def _start(self, model: SyCoCa, parts: LoadedParts | None, folder: RunFolder, runtime: Runtime) -> dict[str, float]:
        """Load the parts unless resuming, freeze what is configured, and return learning-rate scales by name."""
        start = self.config.start
        record = InitialWeightsRecord.load(folder.start) if parts is None else fill_from_weights(model, parts)
        before = None if parts is None else parts.config.weights
        freeze(model, start.frozen, record.loaded, start.weights, setting="start.frozen", before=before)
        check_trains_in_all_steps(model, self.config.objectives)
        if parts is not None:
            record = replace(record, limits=self._limits(model, parts.config.weights))
        if parts is not None and runtime.is_main_rank:
            record.save(folder.start)
        self._record = record
        return dict.fromkeys(record.loaded, start.lr_ratio)

    def _limits(self, model: SyCoCa, before: WeightsConfig | None) -> ModelLimits:
        return limits_after_training(
            before,
            model.config,
            self.objectives,
            training=self.training,
            weights=self.base,
            changes_encoders=trains_encoders(model),
        )
