"""Pretraining from a config: one call makes a run folder with everything in it."""

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from sycoca.data.samples import SampleSource
from sycoca.training.in_memory_source import Pair
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.recipes.pretraining.recipe import Pretraining
from sycoca.training.run.start import begin, check_resumable, go_on
from sycoca.training.run_folder import RunFolder

FIXED_ON_RESUME = (
    "seed",
    "model",
    "tokenizer",
    "transforms",
    "start.weights",
    "start.image_size",
    "start.frozen",
    "data.train",
    "training.global_batch_size",
)
"""What a checkpoint's weights and its position in the data depend on."""


def pretrain(
    config: PretrainConfig,
    source: SampleSource | Iterable[Pair] | None = None,
    *,
    validation: SampleSource | Iterable[Pair] | None = None,
    console: Console | None = None,
) -> Path:
    """Run a pretraining from its first step and return the run folder, with ``weights/`` to load.

    ``source`` and ``validation`` take the place of the config's data where given: sources, or pairs of an image and
    its captions. Without a ``console`` nothing is printed. Raises ValueError where the folder holds a run already
    and where the weights to start from (``config.start``) are not sound or do not fit; TrainingInterrupted after
    Ctrl-C.
    """
    recipe = Pretraining.beginning(config)
    return begin(recipe, recipe.open_sources(source, validation), console)


def resume_pretraining(
    config: PretrainConfig,
    source: SampleSource | Iterable[Pair] | None = None,
    *,
    validation: SampleSource | Iterable[Pair] | None = None,
    console: Console | None = None,
) -> Path:
    """Go on with the run in ``config.out`` from its newest checkpoint, to the last bit as if it had never stopped.

    The config is the run's own (``RunFolder.read_config``), possibly with changes; ValueError names those that a
    run cannot change on the way. Before the first checkpoint the run begins anew.
    """
    check_resumable(RunFolder(Path(config.out)).read_config(PretrainConfig), config, FIXED_ON_RESUME)
    recipe = Pretraining(config)
    return go_on(recipe, recipe.open_sources(source, validation), console)
