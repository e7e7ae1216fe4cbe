"""Linear probe: accuracy of a linear classifier on frozen image features."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from rich.console import Console
from torch import Tensor

from sycoca.data.few_shot import few_per_class, split_by_class
from sycoca.data.samples import SampleSource
from sycoca.evaluation.batches import num_evaluated
from sycoca.evaluation.class_labels import labeled_images, labels_of
from sycoca.evaluation.classification import classification_report
from sycoca.evaluation.embedded import EmbeddingKind
from sycoca.evaluation.embeddings import ImageEmbeddings
from sycoca.evaluation.report import Report
from sycoca.evaluation.sharding import ALONE, Sharding
from sycoca.inference.predictor import Predictor
from sycoca.progress_bar import tracked

VALIDATION_RATIO = 0.2
"""Fraction of every class of the training data that chooses the penalty without validation data."""

_COARSE = tuple(float(exponent) for exponent in range(-6, 7, 2))
_FINE_STEPS = (1.0, 0.5, 0.25)
_MOST_ITERATIONS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeTraining:
    """Training and validation data of a probe."""

    train: SampleSource
    """Images with labels, which are the classes."""

    validation: SampleSource | None = None
    """Images that choose the strength of regularization; None takes a fifth of every class of the training data."""

    samples_per_class: int | None = None
    """Training samples of every class, drawn by the seed; None takes all."""

    seed: int = 0
    """Samples the few-shot training data and the validation part."""

    vectors: EmbeddingKind = "features"
    """Pooled features before the projection into the joint space (CLIP's protocol), or embeddings in it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Images:
    """Features and classes of images."""

    vectors: Float[Tensor, "images columns"]
    labels: Int[Tensor, " images"]

    def rows(self, indices: list[int]) -> "_Images":
        """Return the images of those rows."""
        return _Images(vectors=self.vectors[indices], labels=self.labels[indices])


def evaluate_probe(
    predictor: Predictor,
    source: SampleSource,
    *,
    training: ProbeTraining,
    embeddings: ImageEmbeddings | None = None,
    batch_size: int = 64,
    limit: int | None = None,
    console: Console | None = None,
    sharding: Sharding = ALONE,
) -> Report:
    """Return the accuracy of logistic regression on frozen features, fitted by L-BFGS with an L2 penalty.

    Protocol of CLIP (arXiv 2103.00020, appendix A.3): the strength with the best accuracy on validation images, first
    of powers of a hundred, then in steps that are halved around the best; then a last fit on training and validation
    images together. Columns are standardized by the training images. Needs scikit-learn. Raises
    ValueError for images without label, for a class that training does not have, and without scikit-learn.
    """
    started_at = time.perf_counter()
    if embeddings is None:
        embeddings = ImageEmbeddings(predictor, batch_size=batch_size, console=console, sharding=sharding)
    names = labels_of(training.train, len(training.train))

    def images_of(some: SampleSource) -> _Images:
        known = labeled_images(some, len(some), names)
        vectors = embeddings.of(some, len(some), training.vectors).double()
        return _Images(vectors=vectors, labels=known.labels)

    tested = labeled_images(source, num_evaluated(source, limit), names)
    fitted, chosen_on = _training_images(training, images_of)
    exponent = best_exponent(lambda exponent: _accuracy(_fit(fitted, exponent), chosen_on), console=console)
    both = _Images(
        vectors=torch.cat([fitted.vectors, chosen_on.vectors]), labels=torch.cat([fitted.labels, chosen_on.labels])
    )
    probe = _fit(both, exponent)
    scores = probe.scores(embeddings.of(source, len(tested.places), training.vectors).double())
    return classification_report(
        "probe",
        scores,
        tested,
        names,
        source,
        settings={
            "limit": limit,
            "train": training.train.name,
            "validation": None if training.validation is None else training.validation.name,
            "training_images": len(fitted.labels),
            "validation_images": len(chosen_on.labels),
            "samples_per_class": training.samples_per_class,
            "seed": training.seed,
            "vectors": training.vectors,
            "log10_inverse_penalty": exponent,
            "has_converged": probe.has_converged,
        },
        seconds=time.perf_counter() - started_at,
    )


def _training_images(training: ProbeTraining, images_of: Callable[[SampleSource], _Images]) -> tuple[_Images, _Images]:
    """Return the training images, and those that choose the penalty."""
    train = training.train
    if training.samples_per_class is not None:
        train = few_per_class(train, training.samples_per_class, training.seed)
    if training.validation is not None:
        return images_of(train), images_of(training.validation)
    first, second = split_by_class(train, VALIDATION_RATIO, training.seed)
    if not second:
        raise ValueError(f"{train.name} is too small to choose the penalty on a part of it; give --validation data")
    images = images_of(train)
    return images.rows(first), images.rows(second)


def best_exponent(accuracy: Callable[[float], float], *, console: Console | None = None) -> float:
    """Return the power of ten, from -6 to 6, of the best accuracy; of several the smallest.

    Every other whole number is tried, then the neighbors of the best in steps of 1, 1/2 and 1/4.
    """
    tried: dict[float, float] = {}

    def best() -> float:
        return max(sorted(tried), key=lambda exponent: tried[exponent])

    for step in tracked((None, *_FINE_STEPS), 1 + len(_FINE_STEPS), "choosing the penalty", console=console):
        for exponent in _COARSE if step is None else (best() - step, best() + step):
            if exponent not in tried and _COARSE[0] <= exponent <= _COARSE[-1]:
                tried[exponent] = accuracy(exponent)
    return best()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Probe:
    """A fitted classifier with the standardization of its columns."""

    regression: Any
    mean: Float[Tensor, " columns"]
    deviation: Float[Tensor, " columns"]

    @property
    def has_converged(self) -> bool:
        """Whether the optimizer converged."""
        return bool(np.max(self.regression.n_iter_) < _MOST_ITERATIONS)

    def scores(self, vectors: Float[Tensor, "images columns"]) -> Float[Tensor, "images classes"]:
        """Return a logit per class."""
        logits = torch.from_numpy(self.regression.decision_function(((vectors - self.mean) / self.deviation).numpy()))
        # For two classes scikit-learn returns one number: the second class against the first.
        return torch.stack([-logits, logits], dim=1) if logits.ndim == 1 else logits


def _fit(images: _Images, exponent: float) -> _Probe:
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise ValueError("a linear probe needs scikit-learn: pip install 'sycoca[probe]'") from error
    mean, deviation = images.vectors.mean(0), images.vectors.std(0, correction=0).clamp_min(1e-8)
    regression = LogisticRegression(C=10**exponent, max_iter=_MOST_ITERATIONS)
    with warnings.catch_warnings():
        # A fit that has not converged is still used; the report says so for the last one.
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(((images.vectors - mean) / deviation).numpy(), images.labels.numpy())
    return _Probe(regression=regression, mean=mean, deviation=deviation)


def _accuracy(probe: _Probe, images: _Images) -> float:
    return (probe.scores(images.vectors).argmax(1) == images.labels).double().mean().item()
