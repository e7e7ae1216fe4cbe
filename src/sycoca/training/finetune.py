"""Fine-tuning from a config to a complete run folder."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from sycoca.data.samples import SampleSource
from sycoca.facts.training_facts import FinetuneTask
from sycoca.keywords import check_type, suggests_keywords
from sycoca.training.engine.distributed.launch import is_main_process
from sycoca.training.in_memory_source import Pair
from sycoca.training.recipes.classification.config import FinetuneClassificationConfig
from sycoca.training.recipes.classification.recipe import ClassificationFinetuning
from sycoca.training.recipes.finetune_config import FinetuneConfig
from sycoca.training.recipes.finetuning import Finetuning
from sycoca.training.recipes.pairs.config import FinetunePairsConfig
from sycoca.training.recipes.pairs.recipe import PairsFinetuning
from sycoca.training.recipes.vqa.config import FinetuneVqaConfig
from sycoca.training.recipes.vqa.recipe import VqaFinetuning
from sycoca.training.run.start import check_resumable, resume_run, start_run
from sycoca.training.run_folder import RunFolder
from sycoca.weights.hub import pinned_weights


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneKind:
    """The configuration and the recipe of a fine-tuning task."""

    config: type[FinetuneConfig]
    """The configuration class."""

    recipe: type[Finetuning[Any]]
    """The recipe class."""


KINDS: dict[FinetuneTask, FinetuneKind] = {
    "retrieval": FinetuneKind(config=FinetunePairsConfig, recipe=PairsFinetuning),
    "captioning": FinetuneKind(config=FinetunePairsConfig, recipe=PairsFinetuning),
    "vqa": FinetuneKind(config=FinetuneVqaConfig, recipe=VqaFinetuning),
    "classification": FinetuneKind(config=FinetuneClassificationConfig, recipe=ClassificationFinetuning),
}
"""All fine-tuning tasks; a test checks that none is missing."""

_CONFIG = 'a FinetuneConfig: finetune_preset("vqa", weights, train) of sycoca.presets.finetune, for example'

FIXED_ON_RESUME = (
    "seed",
    "task",
    "weights",
    "random_weights",
    "frozen",
    "lora",
    "image_size",
    "transforms",
    "data.train",
    "data.order",
    "optimizer.kind",
    "num_answers",
    "questions_per_image",
    "references_are",
    "samples_per_class",
)
"""Fields that a resumed run must not change: the checkpoint's weights and position in the data depend on them."""


@suggests_keywords
def finetune(
    config: FinetuneConfig,
    source: SampleSource | Iterable[Pair] | None = None,
    *,
    validation: SampleSource | Iterable[Pair] | None = None,
    console: Console | None = None,
) -> Path:
    """Fine-tune the config's weights and return the run folder, whose ``weights/`` `sycoca.load` reads.

    ``source`` and ``validation`` replace the config's data where given: sources, or pairs of an image and its captions.
    Messages go to the logger ``sycoca``; a ``console`` that is a terminal gets a progress bar, and so does a notebook.
    Weights of the Hugging Face Hub are downloaded, and the run's config records their commit. Raises OutputError (a
    ValueError) where the folder already holds a run, cannot be written, or another process trains there;
    TrainingInterrupted after Ctrl-C.
    """
    check_type(config, FinetuneConfig, "config", _CONFIG)
    if is_main_process():
        RunFolder(Path(config.out)).check_new(config)
    config = replace(config, weights=pinned_weights(config.weights))
    recipe = KINDS[config.task].recipe(config)
    return start_run(recipe, recipe.open_sources(source, validation), console)


@suggests_keywords
def resume_finetuning(
    config: FinetuneConfig,
    source: SampleSource | Iterable[Pair] | None = None,
    *,
    validation: SampleSource | Iterable[Pair] | None = None,
    console: Console | None = None,
) -> Path:
    """Resume the run in ``config.out`` from its newest checkpoint, bit for bit as if it had not been interrupted.

    Raises ValueError for a changed field of ``FIXED_ON_RESUME``. The pretrained weights must still exist: sizes and
    tokenizer come from them.
    """
    folder = RunFolder(Path(config.out))
    check_resumable(folder.read_saved_config(type(config)) or read_finetune_config(folder), config, FIXED_ON_RESUME)
    recipe = KINDS[config.task].recipe(config)
    return resume_run(recipe, recipe.open_sources(source, validation), console)


def read_finetune_config(folder: RunFolder) -> FinetuneConfig:
    """Return the config of a fine-tuning run; raises ValueError where the folder holds none."""
    plain = folder.read_plain_config()
    task = plain.get("task") if isinstance(plain, dict) else None
    if task not in KINDS:
        raise ValueError(f"{folder.path} holds no fine-tuning; resume a pretraining with sycoca pretrain --resume")
    return folder.read_config(KINDS[task].config)
