"""The names of all evaluations. Imports none of them, so that the list is there at once."""

import importlib
from typing import TYPE_CHECKING

from sycoca.plain_data import did_you_mean

if TYPE_CHECKING:
    from sycoca.evaluation.tasks.task import EvaluationTask

TASKS = {
    "retrieval": "images find captions and captions find images: recall at 1, 5 and 10, ranks",
    "zero-shot": "classes as prompts: top-1 and top-5 accuracy, the mean over classes",
    "probe": "the same for a linear classifier on frozen features",
    "classification": "the same for the head of a model that was fine-tuned to classify",
    "captioning": "captions against people's: BLEU, ROUGE-L, CIDEr, METEOR",
    "vqa": "visual question answering: the official accuracy, or equality with one reference answer",
    "grounding": "patch scores against the pixels that captions describe (built-in scenes)",
    "scene-captions": "truth and detail of generated captions (built-in scenes)",
    "scene-swaps": "hard negatives: captions with colors, shapes or relation exchanged (built-in scenes)",
}
"""Every task and what it measures; the module of that name in this folder has its options as ``Task``."""


def task_class(name: str) -> "type[EvaluationTask]":
    """Return the options of a task by its name. Raises ValueError for another name."""
    if name not in TASKS:
        raise ValueError(f"there is no task {name!r}{did_you_mean(name, TASKS)}")
    return importlib.import_module(f"sycoca.evaluation.tasks.{name.replace('-', '_')}").Task
