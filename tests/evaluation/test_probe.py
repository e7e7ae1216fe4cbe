import builtins
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from builders.predictors import ListSource, photo_source, small_predictor
from sycoca.data.samples import ImageTextSample
from sycoca.evaluation.embeddings import ImageEmbeddings
from sycoca.evaluation.probe import ProbeTraining, best_exponent, evaluate_probe
from sycoca.inference.predictor import Predictor

sklearn = pytest.importorskip("sklearn.linear_model", reason="needs scikit-learn, of the extra probe")


def labeled(labels: list[str | None], first: int = 0) -> ListSource:
    samples = photo_source([()] * (first + len(labels))).samples[first:]
    return ListSource(samples=tuple(replace(one, label=label) for one, label in zip(samples, labels, strict=True)))


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    torch.manual_seed(5)
    return small_predictor()


def shade(value: int, _smallest_side: int | None = None) -> Image.Image:
    return Image.new("RGB", (32, 32), (value, value, value))


def shades(count: int, first: int = 0) -> ListSource:
    """Return dark and light pictures, the later ones the more so."""
    samples = []
    for index in range(first, first + count):
        value = (110 - index) if index % 2 else (140 + index)
        samples.append(
            ImageTextSample(
                key=f"shade-{index}",
                captions=(),
                label="dark" if index % 2 else "light",
                open_image=partial(shade, value),
            )
        )
    return ListSource(samples=tuple(samples))


@pytest.mark.parametrize("vectors", ["features", "embedding"])
def test_last_fit_is_logistic_regression_on_training_and_validation_images(predictor: Predictor, vectors):
    labels = ["a", "b", "b", "a"]
    train, validation, test = labeled(labels * 3), labeled(labels, 12), labeled(labels, 16)
    training = ProbeTraining(train=train, validation=validation, vectors=vectors)
    report = evaluate_probe(predictor, test, training=training)
    embed = predictor.image_features if vectors == "features" else predictor.embed_images
    known = embed([*train.samples, *validation.samples]).double().numpy()
    mean, deviation = known.mean(0), known.std(0)
    exponent = report.settings["log10_inverse_penalty"]
    assert isinstance(exponent, float)
    slow = sklearn.LogisticRegression(C=10**exponent, max_iter=1000).fit((known - mean) / deviation, labels * 4)
    predicted = slow.predict((embed(test.samples).double().numpy() - mean) / deviation)
    expected = [int(name == sample.label) for name, sample in zip(predicted, test.samples, strict=True)]
    assert report.items["image"].values["accuracy_top_1"] == expected
    assert report.metrics["accuracy_top_1"] == np.mean(expected)
    assert (report.settings["training_images"], report.settings["validation_images"]) == (12, 4)


def test_learns_what_the_features_show(predictor: Predictor):
    report = evaluate_probe(predictor, shades(10, 30), training=ProbeTraining(train=shades(30)))
    assert report.metrics["accuracy_top_1"] >= 0.8
    assert report.settings["validation_images"] == 6
    assert report.task == "probe"


def test_several_classes_and_few_shots(predictor: Predictor):
    train = labeled(["a", "b", "c"] * 5)
    training = ProbeTraining(train=train, samples_per_class=3)
    report = evaluate_probe(predictor, labeled(["a", "c"], 20), training=training)
    assert report.settings["training_images"] == 6
    assert report.settings["validation_images"] == 3
    assert report.counts["classes"] == 3


def test_takes_embeddings_that_are_there(predictor: Predictor):
    train, test = shades(10), shades(4, 10)
    embeddings = ImageEmbeddings(predictor)
    expected = evaluate_probe(predictor, test, training=ProbeTraining(train=train), embeddings=embeddings)
    other = small_predictor()
    again = evaluate_probe(other, test, training=ProbeTraining(train=train), embeddings=embeddings)
    assert again.metrics == expected.metrics


@pytest.mark.parametrize("peak", [-6.0, -3.25, 0.0, 2.5, 6.0])
def test_finds_the_best_exponent(peak: float):
    tried = []

    def accuracy(exponent: float) -> float:
        tried.append(exponent)
        return -abs(exponent - peak)

    assert best_exponent(accuracy) == peak
    assert len(set(tried)) == len(tried) <= 13


def test_of_equally_good_exponents_the_smallest():
    assert best_exponent(lambda _: 0.5) == -6


def test_what_cannot_be_probed(predictor: Predictor, monkeypatch: pytest.MonkeyPatch):
    train = labeled(["a", "b"] * 3)
    with pytest.raises(ValueError, match="'c' of photo-6 is none of the 2 classes"):
        evaluate_probe(predictor, labeled(["c"], 6), training=ProbeTraining(train=train))
    with pytest.raises(ValueError, match="too small to choose the penalty"):
        evaluate_probe(predictor, train, training=ProbeTraining(train=labeled(["a", "b"])))
    with pytest.raises(ValueError, match="photo-1 has no label"):
        evaluate_probe(predictor, train, training=ProbeTraining(train=labeled(["a", None])))
    real = builtins.__import__

    def without_sklearn(name, *args, **kwargs):
        if name.startswith("sklearn"):
            raise ImportError
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_sklearn)
    with pytest.raises(ValueError, match=r"pip install 'sycoca\[probe\]'"):
        evaluate_probe(predictor, train, training=ProbeTraining(train=train))
