"""What the representations of a trained row are worth elsewhere: a linear probe, and VQA after short fine-tuning."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

from sycoca.data.samples import SampleSource
from sycoca.data.selection import spread_samples
from sycoca.data.spec import open_source
from sycoca.evaluation.probe import ProbeTraining, evaluate_probe
from sycoca.evaluation.vqa import evaluate_vqa
from sycoca.experiments.ablation.settings import comparable
from sycoca.facts.ablation_metrics import ANSWERS, PROBE_ACCURACY
from sycoca.inference.load import load
from sycoca.inference.predictor import Predictor
from sycoca.presets.finetune import vqa
from sycoca.texts import normal_form
from sycoca.training.config import DataConfig, ScheduleConfig
from sycoca.training.finetune import finetune
from sycoca.training.recipes.vqa.config import FinetuneVqaConfig

MOST_TRAINED = 2000
"""Largest number of training images of the probe, which takes seconds a run."""

MOST_TESTED = 1000
"""Largest number of test images of the probe and of VQA."""

VQA_STEPS = 100
"""Steps of fine-tuning for VQA, each of 32 images: a quarter of a minute a run on scenes."""

QUESTIONS_PER_IMAGE = 4
"""Largest number of questions per image in its batches; more take longer."""

_VQA_FOLDER = "vqa"
"""Name of the folder beside the weights."""


def probed(predictor: Predictor, train: SampleSource, source: SampleSource) -> dict[str, float]:
    """Return the top-1 accuracy of a linear probe; nothing where a class has too few training images to fit one."""
    trained, tested = spread_samples(train, MOST_TRAINED), spread_samples(source, MOST_TESTED)
    if not _has_classes(trained, tested):
        return {}
    report = evaluate_probe(predictor, tested, training=ProbeTraining(train=trained))
    return {PROBE_ACCURACY: report.metrics["accuracy_top_1"]}


def answered(weights: Path, train: str, source: SampleSource) -> dict[str, float]:
    """Return the accuracy of answers after short fine-tuning, with the baseline that sees the questions alone.

    ``train`` is the SPEC of the pretraining data; nothing where it or the test data have no questions with answers. All
    rows are fine-tuned alike, from one seed. What is written meanwhile lies beside the weights and is deleted.
    """
    tested = spread_samples(source, MOST_TESTED)
    if not (_has_answers(tested) and _has_answers(spread_samples(open_source(train), MOST_TRAINED))):
        return {}
    folder = weights.parent / _VQA_FOLDER
    shutil.rmtree(folder, ignore_errors=True)  # what a killed process has left
    try:
        tuned = finetune(_tuning(weights, train, folder))
        metrics = evaluate_vqa(load(tuned / "weights", device="cpu", dtype="float32"), tested).metrics
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {name: metrics[name] for name in ANSWERS if name in metrics}


def _has_classes(train: SampleSource, source: SampleSource) -> bool:
    """Return whether all images have a class, each of them two training images, one of which chooses the penalty."""
    trained, tested = _images_of_classes(train), _images_of_classes(source)
    classes = set(trained) | set(tested)
    return None not in classes and all(trained[name] > 1 for name in classes)


def _images_of_classes(source: SampleSource) -> Counter[str | None]:
    labels = (source[index].label for index in range(len(source)))
    return Counter(None if label is None else normal_form(label) for label in labels)


def _has_answers(source: SampleSource) -> bool:
    """Return whether there are questions, all of them with reference answers; those of test sets may lack them."""
    asked = [question for index in range(len(source)) for question in source[index].questions]
    return bool(asked) and all(question.answers for question in asked)


def _tuning(weights: Path, train: str, out: Path) -> FinetuneVqaConfig:
    config = vqa(str(weights), train)
    assert isinstance(config, FinetuneVqaConfig)
    return comparable(
        replace(
            config,
            out=str(out),
            questions_per_image=QUESTIONS_PER_IMAGE,
            data=DataConfig(train=train, num_workers=0, cache_images=True),
            schedule=ScheduleConfig(warmup_steps=VQA_STEPS // 5),
            training=replace(config.training, steps=VQA_STEPS, save_every=VQA_STEPS),
        )
    )
