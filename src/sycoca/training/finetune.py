"""Fine-tuning from a config: one call makes a run folder with everything in it."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from sycoca.data.samples import SampleSource
from sycoca.training.finetune_classification import ClassificationFinetuning
from sycoca.training.finetune_config import CONFIGS, FinetuneConfig, FinetuneTask
from sycoca.training.finetune_pairs import PairsFinetuning
from sycoca.training.finetune_vqa import VqaFinetuning
from sycoca.training.finetuning import Finetuning
from sycoca.training.pairs import Pair
from sycoca.training.run_folder import RunFolder
from sycoca.training.start import begin, check_resumable, go_on
from sycoca.weights.hub import pinned_weights

RECIPES: dict[FinetuneTask, type[Finetuning[Any]]] = {
    "retrieval": PairsFinetuning,
    "captioning": PairsFinetuning,
    "vqa": VqaFinetuning,
    "classification": ClassificationFinetuning,
}
"""How each task is trained."""

FIXED_ON_RESUME = (
    "seed",
    "task",
    "weights",
    "random_weights",
    "image_size",
    "transforms",
    "data.train",
    "training.global_batch_size",
    "num_answers",
    "questions_per_image",
    "references_are",
    "samples_per_class",
)
"""What a checkpoint's weights and its position in the data depend on."""


def finetune(
    config: FinetuneConfig,
    source: SampleSource | Iterable[Pair] | None = None,
    *,
    validation: SampleSource | Iterable[Pair] | None = None,
    console: Console | None = None,
) -> Path:
    """Fine-tune the config's weights and return the run folder, with ``weights/`` to load.

    ``source`` and ``validation`` take the place of the config's data where given: sources, or pairs of an image and
    its captions. Without a ``console`` nothing is printed. Weights of the Hugging Face Hub are fetched, and the run's
    config names their commit. Raises ValueError where the folder holds a run already, TrainingInterrupted after Ctrl-C.
    """
    config = replace(config, weights=pinned_weights(config.weights))
    recipe = RECIPES[config.task](config)
    return begin(recipe, recipe.open_sources(source, validation), console)


def resume_finetuning(
    config: FinetuneConfig,
    source: SampleSource | Iterable[Pair] | None = None,
    *,
    validation: SampleSource | Iterable[Pair] | None = None,
    console: Console | None = None,
) -> Path:
    """Go on with the run in ``config.out`` from its newest checkpoint, to the last bit as if it had never stopped.

    ValueError names changes that a run cannot take on the way. The weights folder that it started from must still be
    there: sizes and tokenizer come from it.
    """
    check_resumable(read_finetune_config(RunFolder(Path(config.out))), config, FIXED_ON_RESUME)
    recipe = RECIPES[config.task](config)
    return go_on(recipe, recipe.open_sources(source, validation), console)


def read_finetune_config(folder: RunFolder) -> FinetuneConfig:
    """Return the config of a fine-tuning's run folder; raises ValueError where it holds none."""
    plain = folder.read_plain_config()
    task = plain.get("task") if isinstance(plain, dict) else None
    if task not in CONFIGS:
        raise ValueError(f"{folder.path} holds no fine-tuning; go on with a pretraining by sycoca pretrain --resume")
    return folder.read_config(CONFIGS[task])
