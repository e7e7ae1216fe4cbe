"""Fine-tuning from a config: one call makes a run folder with everything in it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from sycoca.data.samples import SampleSource
from sycoca.training.in_memory_source import Pair
from sycoca.training.recipes.classification.config import FinetuneClassificationConfig
from sycoca.training.recipes.classification.recipe import ClassificationFinetuning
from sycoca.training.recipes.finetune_config import FinetuneConfig, FinetuneTask
from sycoca.training.recipes.finetuning import Finetuning
from sycoca.training.recipes.pairs.config import FinetunePairsConfig
from sycoca.training.recipes.pairs.recipe import PairsFinetuning
from sycoca.training.recipes.vqa.config import FinetuneVqaConfig
from sycoca.training.recipes.vqa.recipe import VqaFinetuning
from sycoca.training.run.start import begin, check_resumable, go_on
from sycoca.training.run_folder import RunFolder
from sycoca.weights.hub import pinned_weights


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneKind:
    """What belongs to a task: its configuration and its recipe."""

    config: type[FinetuneConfig]
    """What users can set."""

    recipe: type[Finetuning[Any]]
    """How it is trained."""


KINDS: dict[FinetuneTask, FinetuneKind] = {
    "retrieval": FinetuneKind(config=FinetunePairsConfig, recipe=PairsFinetuning),
    "captioning": FinetuneKind(config=FinetunePairsConfig, recipe=PairsFinetuning),
    "vqa": FinetuneKind(config=FinetuneVqaConfig, recipe=VqaFinetuning),
    "classification": FinetuneKind(config=FinetuneClassificationConfig, recipe=ClassificationFinetuning),
}
"""All tasks that a model can be fine-tuned for; a test checks that none is missing."""

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
    recipe = KINDS[config.task].recipe(config)
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
    recipe = KINDS[config.task].recipe(config)
    return go_on(recipe, recipe.open_sources(source, validation), console)


def read_finetune_config(folder: RunFolder) -> FinetuneConfig:
    """Return the config of a fine-tuning's run folder; raises ValueError where it holds none."""
    plain = folder.read_plain_config()
    task = plain.get("task") if isinstance(plain, dict) else None
    if task not in KINDS:
        raise ValueError(f"{folder.path} holds no fine-tuning; go on with a pretraining by sycoca pretrain --resume")
    return folder.read_config(KINDS[task].config)
