"""Start a run in its folder, or resume one."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, assert_never

from rich.console import Console

from sycoca.facts.metric_facts import VALIDATION
from sycoca.inference.load import choose_device
from sycoca.outputs.lease import Lease
from sycoca.outputs.output import claimed
from sycoca.plain_data import changed_fields, to_plain, write_yaml
from sycoca.training.checkpoint_copies import checkpoints_in
from sycoca.training.config import RunConfig
from sycoca.training.engine.distributed.ending import RunInFolder
from sycoca.training.engine.run_log import run_log
from sycoca.training.engine.runtime import Runtime
from sycoca.training.engine.tracking import import_wandb
from sycoca.training.recipes.recipe import Recipe, Sources
from sycoca.training.run.training_run import TrainingRun
from sycoca.training.run_folder import RunFolder
from sycoca.training.runtime_config import FixedPrecision, Precision

logger = logging.getLogger(__name__)

C = TypeVar("C", bound=RunConfig)


def start_run(recipe: Recipe, sources: Sources, console: Console | None) -> Path:
    """Train from the first step and return the run folder; raises ValueError where it already holds a run."""
    config, folder = recipe.config, RunFolder(Path(recipe.config.out))
    _check_best(config, sources)
    # First, so that a missing package does not leave an empty run folder.
    if config.training.wandb is not None:
        import_wandb()
    with Runtime(config.runtime) as runtime, _held(folder, config, runtime) as lease:
        config.training.micro_batch_on(runtime.world_size)
        recipe.config = config = _with_precision(config, runtime.precision)
        if runtime.is_main_rank:
            folder.create(config)
        runtime.barrier()
        with _logged(folder, config, runtime, lease):
            try:
                run = TrainingRun(recipe, folder, runtime, sources, console, lease)
            except Exception:
                if runtime.is_main_rank:
                    folder.forget()
                raise
            run.run()
    return folder.path


def resume_run(recipe: Recipe, sources: Sources, console: Console | None) -> Path:
    """Train from the newest checkpoint, or from the first step where there is none; return the run folder."""
    config, folder = recipe.config, RunFolder(Path(recipe.config.out))
    _check_best(config, sources)
    _check_steps(config, folder)
    recipe.config = config = _in_its_precision(config, folder)
    with Runtime(config.runtime) as runtime, _held(folder, config, runtime) as lease:
        config.training.micro_batch_on(runtime.world_size)
        recipe.config = config = _with_precision(config, runtime.precision)
        runtime.barrier()
        with _logged(folder, config, runtime, lease):
            if runtime.is_main_rank:
                _prepare_resume(folder, config)
            runtime.barrier()
            run = TrainingRun(recipe, folder, runtime, sources, console, lease)
            if runtime.is_main_rank:
                # Only now: a config that was refused would be that of every later resume.
                write_yaml(folder.config, to_plain(config))
            run.run()
    return folder.path


def _with_precision(config: C, precision: FixedPrecision) -> C:
    """Return the config with the precision that was chosen, so that the run goes on in it on every machine."""
    return replace(config, runtime=replace(config.runtime, precision=precision))


def _in_its_precision(config: C, folder: RunFolder) -> C:
    """Return the config with the precision that the run was begun in, where it names none itself."""
    match config.runtime.precision:
        case "fp32" | "bf16" | "fp16":
            return config
        case "auto":
            begun = folder.read_saved_config(type(config)) or folder.read_config(type(config))
            return _of_older_run(config, begun.runtime.precision)
        case unknown:
            assert_never(unknown)


def _of_older_run(config: C, begun_in: Precision) -> C:
    """Return the config in the precision of the run; `auto` is of times when it meant fp32 on CPUs and was not kept."""
    match begun_in:
        case "fp32" | "bf16" | "fp16":
            return _with_precision(config, begun_in)
        case "auto":
            return _with_precision(config, "fp32") if choose_device(config.runtime.device).type == "cpu" else config
        case unknown:
            assert_never(unknown)


@contextmanager
def _held(folder: RunFolder, config: RunConfig, runtime: Runtime) -> Iterator[Lease | None]:
    """Hold the run folder in the main process, without what a killed one was writing there.

    Raises OutputError where another process trains in it.
    """
    with claimed(folder.output(config) if runtime.is_main_rank else None) as (lease,):
        if runtime.is_main_rank:
            folder.remove_unfinished()
        yield lease


@contextmanager
def _logged(folder: RunFolder, config: RunConfig, runtime: Runtime, lease: Lease | None) -> Iterator[None]:
    """Write the log of the run, including why it ends when another process is lost."""
    run = RunInFolder(
        resume_command=config.resume_command(), release=(lambda: None) if lease is None else lease.release
    )
    with run_log(folder.log if runtime.is_main_rank else None), runtime.training(run):
        yield


def _check_best(config: RunConfig, sources: Sources) -> None:
    """Raise ValueError where the best checkpoint is chosen by validation without data for it."""
    metric = config.training.keep_best
    if metric is not None and metric.startswith(VALIDATION) and sources.validation is None:
        raise ValueError(f"training.keep_best {metric} needs validation data; set them with --data.validation")


def _check_steps(config: RunConfig, folder: RunFolder) -> None:
    """Raise ValueError where a run is to end at a step that it has passed; it would keep a config that never works."""
    done = max((step for step, _ in checkpoints_in(folder.checkpoints)), default=0)
    if config.training.steps < done:
        raise ValueError(
            f"training.steps is {config.training.steps:,}, and the run has done {done:,}; give at least as many, or"
            " start a new run with another --out"
        )


def _prepare_resume(folder: RunFolder, config: RunConfig) -> None:
    """Restore damaged files of the run, and say where it does not resume as it was interrupted."""
    if not checkpoints_in(folder.checkpoints):
        logger.warning(f"there is no checkpoint in {folder.checkpoints}: the run starts from its first step")
    folder.restore()
    saved = folder.read_saved_config(type(config))
    changed = [] if saved is None else [name for name in changed_fields(saved, config) if name != "out"]
    if changed:
        logger.info(f"settings that differ from those of the newest checkpoint: {', '.join(changed)}")


def check_resumable(old: RunConfig, new: RunConfig, fixed: tuple[str, ...]) -> None:
    """Raise ValueError where the configs differ in a ``fixed`` field, which a resumed run must not change."""
    for name in changed_fields(old, new):
        if any(name == one or name.startswith(f"{one}.") for one in fixed):
            raise ValueError(f"{name} cannot change when a run is resumed; start a new run with another --out")
