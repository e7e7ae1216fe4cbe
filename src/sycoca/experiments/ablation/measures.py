"""What is measured of a trained row; None where the row did not train the component that a metric needs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from sycoca.data.loading.loader import validation_batches
from sycoca.data.samples import SampleSource
from sycoca.data.scenes.source import ScenesSource
from sycoca.evaluation.captioning import CaptioningOptions, evaluate_captioning
from sycoca.evaluation.grounding import evaluate_grounding
from sycoca.evaluation.reconstruction import evaluate_reconstruction
from sycoca.evaluation.report import Report
from sycoca.evaluation.retrieval import evaluate_retrieval
from sycoca.evaluation.scene_captions import evaluate_scene_captions
from sycoca.evaluation.scene_swaps import evaluate_scene_swaps
from sycoca.facts.ablation_metrics import HEADLINES, MEASURED, SWAPS_BY_COSINE, SWAPS_BY_LIKELIHOOD
from sycoca.inference.predictor import Predictor
from sycoca.metrics.resampling import bootstrap, metrics_of_items
from sycoca.objectives.config import ObjectivesConfig
from sycoca.objectives.pretraining import held_out_losses
from sycoca.records import ImageTextBatch
from sycoca.training.recipes.image_text.batches import CaptionBatches

LOSS_BATCH_SIZE = 64
"""Pairs among which the held-out contrastive loss compares, for any batch size in training."""

NUM_RESAMPLES = 200
"""Bootstrap resamples per metric, of which a result takes 3 kB: enough to see whether items or seeds matter more."""

MOST_WITH_SWAPS = 500
"""Scenes whose captions are compared with hard negatives, thousands of pairs."""

_DIGITS = 5
"""Decimal places of the resampled metrics."""

_FIXED_SEED = 0
"""Seed of everything that is drawn in an evaluation: all runs are measured alike."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """The metrics of a trained model."""

    metrics: Mapping[str, float | None]
    """All of `MEASURED`; None for those that the model or the data cannot have, and those of transfer."""

    num_samples: int
    """Samples that they were measured on."""

    resamples: Mapping[str, Sequence[float]]
    """The `HEADLINES` of resamples of the test items, the same for all models; empty without retrieval."""


class _Evaluation(NamedTuple):
    """An evaluation, and when it can be made."""

    is_possible: bool
    evaluate: Callable[[], Mapping[str, float]]


def measure(predictor: Predictor, source: SampleSource, objectives: ObjectivesConfig) -> Measured:
    """Evaluate a model on held-out samples, without training anything: all metrics but those of transfer."""
    contrasts, captions, reconstructs = (
        weight > 0
        for weight in (objectives.contrastive_weight, objectives.captioning_weight, objectives.masked_image_weight)
    )
    knows_pixels = source[0].described_pixels is not None
    retrieval = evaluate_retrieval(predictor, source) if contrasts else None
    evaluations = (
        _Evaluation(contrasts or captions, lambda: losses_as_used(predictor, source, objectives)),
        _Evaluation(captions, lambda: _captioning(predictor, source).metrics),
        _Evaluation(isinstance(source, ScenesSource), lambda: _hard_negatives(predictor, source, objectives)),
        _Evaluation(contrasts and knows_pixels, lambda: evaluate_grounding(predictor, source).metrics),
        _Evaluation(reconstructs, lambda: evaluate_reconstruction(predictor, source).metrics),
    )
    found = {} if retrieval is None else retrieval_values(retrieval)
    found |= {name: value for one in evaluations if one.is_possible for name, value in one.evaluate().items()}
    return Measured(
        metrics={name: found.get(name) for name in MEASURED},
        num_samples=len(source),
        resamples={} if retrieval is None else resampled_headlines(retrieval),
    )


def retrieval_values(report: Report) -> dict[str, float]:
    """Return the metrics of a report of retrieval, and the mean logarithm of the ranks in both directions.

    The logarithm varies less between runs than the mean rank, which a few bad ranks dominate, and more finely than
    recalls.
    """
    directions = {"image_to_text": "image", "text_to_image": "caption"}
    logarithms = {
        f"{direction}_mean_log_rank": float(np.mean(np.log(report.items[unit].values[f"{direction}_mean_rank"])))
        for direction, unit in directions.items()
    }
    return {**report.metrics, **logarithms}


def resampled_headlines(report: Report) -> dict[str, list[float]]:
    """Return mTR and mIR of bootstrap resamples of the images, each with all its captions.

    The draws depend on the number of images alone, so that results of several models can be compared resample by
    resample.
    """
    found: dict[str, list[float]] = {}
    for scores in report.items.values():
        recalls = {name: np.asarray(values, float) for name, values in scores.values.items() if "_recall_at_" in name}
        clusters = scores.keys if scores.groups is None else scores.groups
        if len(set(clusters)) < 2:
            continue  # all resamples of one image are equal
        metrics = bootstrap(partial(metrics_of_items, recalls), clusters, num_resamples=NUM_RESAMPLES)
        found |= {name: values.round(_DIGITS).tolist() for name, values in metrics.items() if name in HEADLINES}
    return found


@torch.no_grad()
def losses_as_used(predictor: Predictor, source: SampleSource, objectives: ObjectivesConfig) -> dict[str, float]:
    """Return the contrastive loss in fixed batches, and the captioning loss with all patches visible, as at inference.

    Means over the samples, each with its first caption. The contrastive loss is the softmax over the batch, also of
    models that were trained with another, whose values are on a scale of their own. The last batch of the source is
    left out where it is smaller, since the contrastive loss depends on the number of pairs; a source smaller than a
    batch is one batch.
    """
    objectives = replace(objectives, contrastive_loss="softmax")
    model, config = predictor.model, predictor.config
    batch_size = min(LOSS_BATCH_SIZE, len(source))
    context_length = model.config.text_encoder.context_length
    batches = validation_batches(
        source,
        CaptionBatches(source, predictor.tokenizer, context_length, _FIXED_SEED),
        config.transforms,
        model.config.image_encoder.image_size,
        range(len(source) // batch_size),
        batch_size=batch_size,
        seed=_FIXED_SEED,
    )
    losses = [
        held_out_losses(model, batch, config.masking, objectives)
        for batch in batches
        if isinstance(batch, ImageTextBatch)
    ]
    return {name: float(np.mean([one[name].item() for one in losses])) for name in losses[0]}


def _hard_negatives(predictor: Predictor, source: SampleSource, objectives: ObjectivesConfig) -> dict[str, float]:
    """Return how often true captions are preferred to swapped ones, by what the objectives train."""
    assert isinstance(source, ScenesSource)
    metrics = evaluate_scene_swaps(predictor, source, limit=min(MOST_WITH_SWAPS, len(source))).metrics
    trained = {SWAPS_BY_COSINE: objectives.contrastive_weight, SWAPS_BY_LIKELIHOOD: objectives.captioning_weight}
    return {name: metrics[name] for name, weight in trained.items() if weight > 0}


def _captioning(predictor: Predictor, source: SampleSource) -> Report:
    if isinstance(source, ScenesSource):
        return evaluate_scene_captions(predictor, source)
    # METEOR needs Java, which not every machine has.
    return evaluate_captioning(predictor, source, options=CaptioningOptions(with_meteor=False))
