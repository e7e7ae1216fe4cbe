"""Pretraining from a config: one call makes a run folder with everything in it."""

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from sycoca.data.samples import SampleSource
from sycoca.plain_data import changed_fields, to_plain, write_yaml
from sycoca.training.assembly import open_sources
from sycoca.training.config import PretrainConfig
from sycoca.training.limits import explained_full_disk
from sycoca.training.pairs import Pair
from sycoca.training.run import PretrainingRun
from sycoca.training.run_folder import RunFolder
from sycoca.training.runtime import Runtime
from sycoca.training.tracking import import_wandb

FIXED_ON_RESUME = ("seed", "model", "tokenizer", "transforms", "data.train", "training.global_batch_size")
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
    its captions. Without a ``console`` nothing is printed. Raises ValueError where the folder holds a run already,
    TrainingInterrupted after Ctrl-C.
    """
    folder = RunFolder(Path(config.out))
    # First of all: a mistyped path or a missing package must not leave a run folder behind.
    if config.training.wandb is not None:
        import_wandb()
    sources = open_sources(config, source, validation)
    with Runtime(config.runtime) as runtime:
        config.training.micro_batch_on(runtime.world_size)
        if runtime.is_main_rank:
            folder.create(config)
        runtime.barrier()
        with explained_full_disk(folder.path):
            PretrainingRun(config, folder, runtime, sources, console).go()
    return folder.path


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
    folder = RunFolder(Path(config.out))
    check_resumable(folder.read_config(), config)
    sources = open_sources(config, source, validation)
    with Runtime(config.runtime) as runtime:
        config.training.micro_batch_on(runtime.world_size)
        runtime.barrier()
        if runtime.is_main_rank:
            write_yaml(folder.config, to_plain(config))
        with explained_full_disk(folder.path):
            PretrainingRun(config, folder, runtime, sources, console).go()
    return folder.path


def check_resumable(old: PretrainConfig, new: PretrainConfig) -> None:
    """Raise ValueError where the configs differ in something that a run cannot change on the way."""
    for name in changed_fields(old, new):
        if any(name == fixed or name.startswith(f"{fixed}.") for fixed in FIXED_ON_RESUME):
            raise ValueError(f"{name} cannot change when a run is resumed; start a new run with another --out")
