"""Fine-tuning for classification: a new class head and the image encoder."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

import torch

from sycoca.data.class_lists import named_classes
from sycoca.data.few_shot import few_per_class
from sycoca.data.samples import SampleSource
from sycoca.evaluation.class_labels import labeled_images, labels_of
from sycoca.evaluation.classification import evaluate_classification
from sycoca.evaluation.sharding import Sharding
from sycoca.evaluation.zero_shot import default_templates
from sycoca.facts.objective_facts import ObjectiveName
from sycoca.inference.classification import class_embeds
from sycoca.inference.predictor import Predictor
from sycoca.model.sycoca import SyCoCa
from sycoca.reports.class_gallery import class_gallery
from sycoca.reports.run_report import Gallery
from sycoca.training.engine.runtime import Runtime
from sycoca.training.in_memory_source import Pair
from sycoca.training.recipes.classification.batches import ClassBatches
from sycoca.training.recipes.classification.config import FinetuneClassificationConfig
from sycoca.training.recipes.classification.task import ClassificationTask, freeze_unused_parameters
from sycoca.training.recipes.finetuning import Finetuning, without_heads
from sycoca.training.recipes.notices import AVERAGE, forgetting_notice
from sycoca.training.recipes.recipe import Sources, TrainedParts
from sycoca.training.run_folder import RunFolder
from sycoca.weights.folder import LoadedWeights

_IMAGES_FOR_NORM = 256
"""Images used to estimate the mean norm of image vectors before normalization; it hardly varies."""


class ClassificationFinetuning(Finetuning[FinetuneClassificationConfig]):
    """Trains a class head; the classes are the labels of the training data in alphabetical order."""

    @property
    def commands_to_try(self) -> tuple[str, ...]:
        """Classification of a photo, and evaluation."""
        return (
            "sycoca classify {weights} photo.jpg",
            "sycoca evaluate classification {weights} --data photos/",
        )

    @property
    def objectives(self) -> dict[ObjectiveName, float]:
        """The classification loss alone."""
        return {"classification": 1.0}

    def check_source(self, source: SampleSource) -> None:
        """Require a label for every image, and at least two classes."""
        labels_of(source, len(source))

    def open_sources(
        self,
        train: SampleSource | Iterable[Pair] | None = None,
        validation: SampleSource | Iterable[Pair] | None = None,
    ) -> Sources:
        """Open the data, and reduce the training data for few-shot learning.

        Raises ValueError where the validation data has a class that the training data lacks.
        """
        sources = super().open_sources(train, validation)
        if sources.validation is not None:
            # Fail before training, not at the first validation.
            labeled_images(sources.validation, len(sources.validation), labels_of(sources.train, len(sources.train)))
        if self.config.samples_per_class is None:
            return sources
        return replace(sources, train=few_per_class(sources.train, self.config.samples_per_class, self.config.seed))

    def build(self, source: SampleSource, folder: RunFolder, runtime: Runtime) -> TrainedParts:  # noqa: ARG002
        """Build the pretrained model with a new class head and without decoders, which are not trained."""
        config, loaded = self.config, self.loaded()
        names = tuple(labels_of(source, len(source)))
        changes = without_heads({"num_classes": len(names), "text_decoder": None, "image_decoder": None})
        weights = self.weights_config(loaded, model=replace(loaded.config.model, **changes), class_names=names)
        model = self.initial_model(loaded, weights)
        if config.head_from_prompts:
            self._initialize_head(model, loaded, source, names)
        freeze_unused_parameters(model)
        model = model.to(runtime.device)
        return TrainedParts(
            tokenizer=loaded.tokenizer,
            model=model,
            weights=weights,
            limits=self.limits(loaded, model),
            task=ClassificationTask(model, drop_path=config.drop_path),
            validation_task=ClassificationTask(model, drop_path=None),
            batch_maker=ClassBatches(source, names, config.label_smoothing),
            mixup_alpha=config.mixup_alpha,
        )

    def summary(self, trained: TrainedParts) -> Iterator[str]:
        """Yield the number of classes and dropped components."""
        yield f"{trained.model.config.num_classes} classes"
        yield from super().summary(trained)

    def notices(self, trained: TrainedParts) -> Iterator[str]:
        """Warn of a learning rate that is too high, and of forgetting."""
        yield from super().notices(trained)
        yield from forgetting_notice(trained.model, AVERAGE)

    def measure(self, predictor: Predictor, source: SampleSource, sharding: Sharding) -> dict[str, float]:
        """Return the accuracy of the head."""
        return evaluate_classification(predictor, source, sharding=sharding).metrics

    def gallery(self, predictor: Predictor, source: SampleSource, taken_from: str) -> Gallery:
        """Return images with the class that the head predicts."""
        return class_gallery(predictor, source, taken_from)

    def _initialize_head(
        self, model: SyCoCa, loaded: LoadedWeights, source: SampleSource, names: tuple[str, ...]
    ) -> None:
        """Initialize the head as the zero-shot classifier, with the mean norm of image vectors for all images."""
        if not model.config.image_encoder.form.is_linear:
            raise ValueError(
                "head_from_prompts does not work with max pooling, which follows the projection: no linear head equals"
                " the zero-shot classifier; leave it out"
            )
        predictor = Predictor(loaded.model, loaded.tokenizer, loaded.config)
        classes = named_classes(names)
        templates = default_templates(source)
        predictor.check_prompts(classes, templates)
        texts = class_embeds(partial(predictor.embed_texts, warns=False), classes, templates)
        some_samples = [source[index] for index in range(0, len(source), max(1, len(source) // _IMAGES_FOR_NORM))]
        with torch.no_grad():
            project = loaded.model.image_encoder.projection
            norm = project(predictor.image_features(some_samples)).norm(dim=1).mean()
            each_feature = project(torch.eye(loaded.model.config.image_encoder.output_width))
            assert model.class_head is not None
            model.class_head.linear.weight.copy_(loaded.model.logit_scale() * texts @ each_feature.T / norm)
