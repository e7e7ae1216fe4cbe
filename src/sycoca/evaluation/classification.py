"""Classification by a fine-tuned head, and the report of every kind of classification."""

import time
from collections.abc import Sequence

from jaxtyping import Float
from rich.console import Console
from torch import Tensor

from sycoca.data.samples import SampleSource, num_lost_samples
from sycoca.evaluation.batches import num_evaluated
from sycoca.evaluation.class_labels import LabeledImages, Unlabeled, class_list_setting, labeled_images
from sycoca.evaluation.remarks import class_remarks
from sycoca.evaluation.report import ItemScores, Report, Setting
from sycoca.evaluation.sharding import ALONE, Sharding
from sycoca.inference.classification import head_names
from sycoca.inference.predictor import Predictor
from sycoca.metrics.classification import (
    TOP,
    accuracy_metrics,
    accuracy_per_class,
    class_ranks,
    most_frequent_mistakes,
)
from sycoca.progress_bar import tracked

_NAMED_MISTAKES = 5


def evaluate_classification(
    predictor: Predictor,
    source: SampleSource,
    *,
    unlabeled: Unlabeled = "error",
    batch_size: int = 64,
    limit: int | None = None,
    console: Console | None = None,
    sharding: Sharding = ALONE,
) -> Report:
    """Return the accuracy of a fine-tuned model's classification head.

    Raises ValueError for a model without head, and for images whose label the head does not know, unless they are to
    be skipped.
    """
    started_at = time.perf_counter()
    names = head_names(predictor.config)
    images = labeled_images(source, num_evaluated(source, limit), names, unlabeled)
    own = sharding.own(len(images.places))
    batches = predictor.class_scores([source[images.places[i]] for i in own], None, batch_size=batch_size)
    shown = tracked(batches, len(own), "classifying", console=console, step=batch_size)
    return classification_report(
        "classification",
        sharding.join(list(shown), len(names)),
        images,
        names,
        source,
        settings={"limit": limit, "unlabeled": unlabeled},
        seconds=time.perf_counter() - started_at,
    )


def classification_report(
    task: str,
    scores: Float[Tensor, "images classes"],
    images: LabeledImages,
    class_names: Sequence[str],
    source: SampleSource,
    *,
    settings: dict[str, Setting],
    seconds: float,
) -> Report:
    """Return the report for given class scores; a tie counts against the model.

    Its items are the images, with true and predicted class as indices into the list of classes, and the classes that
    have images. The settings name the most frequent mistakes.
    """
    ranks = class_ranks(scores, images.labels)
    predicted = scores.argmax(1)
    per_class = accuracy_per_class(ranks, images.labels)
    return Report(
        task=task,
        metrics={
            **accuracy_metrics(ranks, images.labels),
            "skipped_samples": float(num_lost_samples(source) + images.num_left_out),
        },
        counts={
            "images": len(images.places),
            "classes": len(class_names),
            "classes_with_images": len(per_class),
            "unlabeled_images": images.num_left_out,
        },
        settings={
            "data": source.name,
            "class_list": class_list_setting(class_names),
            **settings,
            "most_frequent_mistakes": _mistakes(predicted, images, class_names),
        },
        seconds=seconds,
        items={
            "image": ItemScores(
                keys=images.keys,
                values={
                    **{f"accuracy_top_{k}": (ranks <= k).int().tolist() for k in TOP},
                    "true_class": images.labels.tolist(),
                    "predicted_class": predicted.tolist(),
                },
            ),
            "class": ItemScores(
                keys=[class_names[one.label] for one in per_class],
                values={
                    "mean_class_accuracy": [one.accuracy for one in per_class],
                    "images": [one.num_images for one in per_class],
                },
            ),
        },
        remarks=tuple(class_remarks(len(class_names))),
    )


def _mistakes(predicted: Tensor, images: LabeledImages, class_names: Sequence[str]) -> str:
    found = most_frequent_mistakes(predicted, images.labels, _NAMED_MISTAKES)
    return ", ".join(f"{class_names[true]} taken for {class_names[taken]} {times}x" for true, taken, times in found)
