"""Classification metrics: top-1 and top-5 accuracy, mean class accuracy, and the most frequent confusions."""

from collections import Counter
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

TOP = (1, 5)
"""The usual k of top-k accuracy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassAccuracy:
    """The top-1 accuracy within a class."""

    label: int
    """The class, as its column in the scores."""

    num_images: int
    """Images of the class."""

    accuracy: float
    """Fraction of them that are classified correctly, 0 to 1."""


def class_ranks(scores: Float[Tensor, "images classes"], labels: Int[Tensor, " images"]) -> Int[Tensor, " images"]:
    """Return the rank of each image's true class, from 1; ties count against it.

    Raises ValueError for scores that are not finite: NaN would be ranked first.
    """
    if not bool(scores.isfinite().all()):
        raise ValueError("scores of classes are not finite: the model has diverged, nothing can be ranked")
    # The true class is counted, too, so ranks start at 1.
    return (scores >= scores.gather(1, labels[:, None])).sum(1)


def accuracy_metrics(ranks: Int[Tensor, " images"], labels: Int[Tensor, " images"]) -> dict[str, float]:
    """Return ``accuracy_top_1``, ``accuracy_top_5`` and ``mean_class_accuracy``, 0 to 1.

    The last is the mean over classes of the accuracy within the class, so that frequent and rare classes count the
    same; classes without images are left out. With five classes or fewer, top-5 accuracy is 1 by definition.
    """
    per_class = accuracy_per_class(ranks, labels)
    return {
        **{f"accuracy_top_{k}": (ranks <= k).double().mean().item() for k in TOP},
        "mean_class_accuracy": sum(one.accuracy for one in per_class) / len(per_class),
    }


def accuracy_per_class(ranks: Int[Tensor, " images"], labels: Int[Tensor, " images"]) -> list[ClassAccuracy]:
    """Return the top-1 accuracy within every class that has images, in the order of the classes."""
    num_images = torch.bincount(labels)
    num_right = torch.bincount(labels, weights=(ranks == 1).double(), minlength=len(num_images))
    return [
        ClassAccuracy(
            label=label,
            num_images=int(num_images[label]),
            accuracy=float(num_right[label] / num_images[label]),
        )
        for label in num_images.nonzero().flatten().tolist()
    ]


def most_frequent_mistakes(
    predicted: Int[Tensor, " images"], labels: Int[Tensor, " images"], most: int
) -> list[tuple[int, int, int]]:
    """Return up to ``most`` confusions as (true class, predicted class, count), the most frequent first.

    Equally frequent ones are in the order of their classes.
    """
    pairs = Counter(
        (true, taken) for true, taken in zip(labels.tolist(), predicted.tolist(), strict=True) if true != taken
    )
    ranked = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
    return [(true, taken, times) for (true, taken), times in ranked[:most]]
