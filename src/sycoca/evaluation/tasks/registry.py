"""The names of all evaluations. Imports none of them, so that the list is there at once."""

import importlib
from typing import TYPE_CHECKING

from sycoca.plain_data import did_you_mean

if TYPE_CHECKING:
    from sycoca.evaluation.tasks.task import EvaluationTask

TASKS = {
    "retrieval": "image-text retrieval: recall at 1, 5, 10 in both directions",
    "zero-shot": "zero-shot classification: top-1, top-5, per-class accuracy",
    "probe": "linear probe: the same, for a classifier on frozen features",
    "classification": "the same, for the head of a fine-tuned model",
    "captioning": "captions against references: BLEU, ROUGE-L, CIDEr, METEOR",
    "vqa": "visual question answering: VQA accuracy, or exact match",
    "grounding": "patch scores against the pixels of named objects (scenes)",
    "scene-captions": "correctness and detail of generated captions (scenes)",
    "hard-negatives": "SugarCrepe, ARO, Winoground, POPE: true captions against false",
    "scene-swaps": "hard negatives as in ARO: parts of captions swapped (scenes)",
}
"""Every task and what it measures; the module of that name in this folder has its options as ``Task``."""


def task_class(name: str) -> "type[EvaluationTask]":
    """Return the options of a task by its name. Raises ValueError for another name."""
    if name not in TASKS:
        raise ValueError(f"there is no task {name!r}{did_you_mean(name, TASKS)}")
    return importlib.import_module(f"sycoca.evaluation.tasks.{name.replace('-', '_')}").Task
