"""Pretraining from a config to a complete run folder."""

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from sycoca.data.samples import SampleSource
from sycoca.keywords import check_type, suggests_keywords
from sycoca.training.engine.distributed.launch import is_main_process
from sycoca.training.in_memory_source import Pair
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.recipes.pretraining.recipe import Pretraining
from sycoca.training.run.start import check_resumable, resume_run, start_run
from sycoca.training.run_folder import RunFolder

_CONFIG = 'a PretrainConfig: pretrain_preset("tiny") of sycoca.presets.pretrain, for example'

FIXED_ON_RESUME = (
    "seed",
    "model",
    "tokenizer",
    "transforms",
    "start.weights",
    "start.image_size",
    "start.frozen",
    "data.train",
    "data.order",
    "optimizer.kind",
)
"""Fields that a resumed run must not change: the checkpoint's weights and position in the data depend on them."""


@suggests_keywords
def pretrain(
    config: PretrainConfig,
    source: SampleSource | Iterable[Pair] | None = None,
    *,
    validation: SampleSource | Iterable[Pair] | None = None,
    console: Console | None = None,
) -> Path:
    """Pretrain a model and return the run folder, whose ``weights/`` `sycoca.load` reads.

    ``source`` and ``validation`` replace the config's data where given: sources, or pairs of an image and its captions.
    Messages go to the logger ``sycoca``; a ``console`` that is a terminal gets a progress bar, and so does a notebook.
    Raises OutputError (a ValueError) where the folder already holds a run, cannot be written, or another process trains
    there; ValueError where the initial weights (``config.start``) are damaged or do not fit; TrainingInterrupted after
    Ctrl-C.
    """
    check_type(config, PretrainConfig, "config", _CONFIG)
    if is_main_process():
        RunFolder(Path(config.out)).check_new(config)
    recipe = Pretraining.for_new_run(config)
    return start_run(recipe, recipe.open_sources(source, validation), console)


@suggests_keywords
def resume_pretraining(
    config: PretrainConfig,
    source: SampleSource | Iterable[Pair] | None = None,
    *,
    validation: SampleSource | Iterable[Pair] | None = None,
    console: Console | None = None,
) -> Path:
    """Resume the run in ``config.out`` from its newest checkpoint, bit for bit as if it had not been interrupted.

    The config is the run's own (``RunFolder.read_config``), possibly with changes; raises ValueError for a changed
    field of ``FIXED_ON_RESUME``. Without a checkpoint the run restarts from its first step.
    """
    folder = RunFolder(Path(config.out))
    started = folder.read_saved_config(PretrainConfig) or folder.read_config(PretrainConfig)
    check_resumable(started, config, FIXED_ON_RESUME)
    recipe = Pretraining(config)
    return resume_run(recipe, recipe.open_sources(source, validation), console)
