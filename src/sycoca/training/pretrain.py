"""Pretraining from a config: one call makes a run folder with everything in it."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from rich.console import Console

from sycoca.data.samples import SampleSource
from sycoca.data.skipping import SkipLog
from sycoca.plain_data import changed_fields, to_plain, write_yaml
from sycoca.training.assembly import RunParts, Sources, assemble, open_sources, shared_tokenizer, weights_config
from sycoca.training.checkpoint import TrainingState, load_checkpoint, newest_checkpoint, save_checkpoint
from sycoca.training.config import PretrainConfig
from sycoca.training.interruption import TrainingInterrupted
from sycoca.training.limits import check_memory, explained_full_disk, explained_out_of_memory
from sycoca.training.loop import LoopParts, train
from sycoca.training.pairs import Pair
from sycoca.training.progress import RunProgress, quiet_console
from sycoca.training.reporting import write_report
from sycoca.training.run_folder import RunFolder
from sycoca.training.runtime import Runtime
from sycoca.training.tracking import MetricsFile, TensorBoard, Tracker, Trackers, WeightsAndBiases, import_wandb
from sycoca.training.validation import build_validation
from sycoca.weights.folder import save_weights

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
            _run(config, folder, runtime, sources, console)
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
            _run(config, folder, runtime, sources, console)
    return folder.path


def check_resumable(old: PretrainConfig, new: PretrainConfig) -> None:
    """Raise ValueError where the configs differ in something that a run cannot change on the way."""
    for name in changed_fields(old, new):
        if any(name == fixed or name.startswith(f"{fixed}.") for fixed in FIXED_ON_RESUME):
            raise ValueError(f"{name} cannot change when a run is resumed; start a new run with another --out")


def _run(
    config: PretrainConfig, folder: RunFolder, runtime: Runtime, sources: Sources, console: Console | None
) -> None:
    tokenizer = shared_tokenizer(config, sources.train, runtime, folder.tokenizer)
    skip_log = SkipLog(sources.train, config.data.max_skipped_ratio, folder.skipped if runtime.is_main_rank else None)
    parts = assemble(config, sources.train, tokenizer, runtime, skip_log)
    micro_batch_size = config.training.micro_batch_on(runtime.world_size)
    check_memory(config, parts.model, runtime.device, micro_batch_size)
    step = _restore(folder, parts)
    progress = _progress(config, folder, runtime, step, console)
    tracker = Trackers([progress, *(_trackers(config, folder, step) if runtime.is_main_rank else [])])
    try:
        for line in _first_lines(config, parts, step):
            progress.line(line)
        loop_parts = LoopParts(
            batches=parts.batches,
            updater=parts.updater,
            validate=build_validation(config, parts, sources.validation, folder.skipped_in_validation),
            save=_saver(config, folder, parts, runtime),
            count_skipped=lambda: runtime.share_skipped(skip_log),
            tracker=tracker,
            progress=progress,
            run_dir=folder.path,
        )
        try:
            with explained_out_of_memory(micro_batch_size, runtime.device):
                train(loop_parts, config.training, config.optimizer, config.schedule, step=step)
        except TrainingInterrupted as interrupted:
            if config.training.report and runtime.is_main_rank:
                write_report(config, folder, parts, sources, runtime, stopped_after=interrupted.step)
            raise
        if runtime.is_main_rank:
            _save_weights(config, folder, parts)
            progress.line(f"weights in {folder.weights}")
            if config.training.report:
                progress.line(f"report in {write_report(config, folder, parts, sources, runtime)}")
            if len(skip_log):
                progress.line(f"{skip_log.summary()}; their names are in {folder.skipped}")
        runtime.barrier()
    finally:
        tracker.close()


def _restore(folder: RunFolder, parts: RunParts) -> int:
    """Fill the parts from the newest checkpoint and return its step; 0 where there is none."""
    checkpoint = newest_checkpoint(folder.checkpoints)
    if checkpoint is None:
        return 0
    state = load_checkpoint(checkpoint, parts.model, parts.updater.optimizer)
    parts.updater.load_scaler_state(state.scaler)
    return state.step


def _saver(config: PretrainConfig, folder: RunFolder, parts: RunParts, runtime: Runtime) -> Callable[[int], None]:
    def save(step: int) -> None:
        if runtime.is_main_rank:
            state = TrainingState(
                step=step,
                samples_seen=step * config.training.global_batch_size,
                scaler=parts.updater.scaler_state(),
            )
            kept = config.training.keep_checkpoints
            save_checkpoint(folder.checkpoints, state, parts.model, parts.updater.optimizer, num_kept=kept)
        runtime.barrier()

    return save


def _save_weights(config: PretrainConfig, folder: RunFolder, parts: RunParts) -> None:
    training = config.training
    origin = (
        f"Pretrained from the preset `{config.preset}` for {training.steps:,} steps of {training.global_batch_size:,}"
        f" pairs on `{parts.source.name}`, seed {config.seed}."
    )
    weights = weights_config(config, parts.model)
    save_weights(folder.weights, parts.model, parts.tokenizer, weights, origin=origin)


def _progress(
    config: PretrainConfig, folder: RunFolder, runtime: Runtime, step: int, console: Console | None
) -> RunProgress:
    return RunProgress(
        steps=config.training.steps,
        first_step=step,
        console=console if console is not None and runtime.is_main_rank else quiet_console(),
        log_path=folder.log if runtime.is_main_rank else None,
    )


def _trackers(config: PretrainConfig, folder: RunFolder, step: int) -> list[Tracker]:
    trackers: list[Tracker] = [MetricsFile(folder.metrics, first_step=step)]
    if config.training.tensorboard:
        trackers.append(TensorBoard(folder.tensorboard, first_step=step))
    if config.training.wandb is not None:
        trackers.append(WeightsAndBiases(config.training.wandb, to_plain(config), id_path=folder.wandb_id))
    return trackers


def _first_lines(config: PretrainConfig, parts: RunParts, step: int) -> Iterator[str]:
    runtime, training = parts.updater.runtime, config.training
    yield (
        f"{config.preset}: {parts.model.num_parameters:,} parameters on {runtime.device} in {runtime.precision},"
        f" {runtime.world_size} process{'es' if runtime.world_size > 1 else ''}"
    )
    yield (
        f"{len(parts.source):,} samples of {parts.source.name}, {parts.tokenizer.vocab_size:,} token ids,"
        f" {training.steps * training.global_batch_size / len(parts.source):.1f} epochs"
    )
    if len(parts.skip_log):
        yield parts.skip_log.summary()
    if config.schedule.warmup_steps >= training.steps:
        yield (
            f"the learning rate never reaches its peak: schedule.warmup_steps {config.schedule.warmup_steps}"
            f" of {training.steps} steps"
        )
    if step > 0:
        yield f"going on after step {step}"
