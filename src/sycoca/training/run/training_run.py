"""One run from its recipe to its weights: assemble, train, save, report."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import final

from rich.console import Console
from torch import Tensor

from sycoca.data.loading.skipping import SkipLog
from sycoca.data.samples import remarks_on
from sycoca.facts.metric_facts import metric_title, readable
from sycoca.outputs.lease import Lease
from sycoca.plain_data import to_plain
from sycoca.stop_signals import INTERRUPT
from sycoca.training.engine.checkpoints.checkpoint import checkpoint_weights, read_samples_seen
from sycoca.training.engine.checkpoints.run_checkpoints import RunCheckpoints
from sycoca.training.engine.checkpoints.soundness import damage_of
from sycoca.training.engine.distributed.shards import whole
from sycoca.training.engine.interruption import TrainingInterrupted
from sycoca.training.engine.limits import check_memory, explained_out_of_memory
from sycoca.training.engine.loop import LoopParts, train
from sycoca.training.engine.run_progress import RunProgress
from sycoca.training.engine.runtime import Runtime
from sycoca.training.engine.step_review import StepReview
from sycoca.training.engine.tracking import MetricsFile, TensorBoard, Tracker, Trackers, WeightsAndBiases
from sycoca.training.recipes.notices import repeated_samples_notice, uncached_notice
from sycoca.training.recipes.recipe import Recipe, Sources
from sycoca.training.run.assembly import assemble
from sycoca.training.run.cached_features import cached_crops
from sycoca.training.run.provenance import run_provenance
from sycoca.training.run.report import write_report
from sycoca.training.run.same_data import refuse_other_data
from sycoca.training.run.validation import build_validation
from sycoca.training.run_folder import RunFolder
from sycoca.weights.folder import save_weights, tensors_to_save
from sycoca.weights.tensors.stream import stream_order

logger = logging.getLogger(__name__)


@final
class TrainingRun:
    """A training run in its folder, from the newest checkpoint there or from the first step."""

    def __init__(
        self,
        recipe: Recipe,
        folder: RunFolder,
        runtime: Runtime,
        sources: Sources,
        console: Console | None,
        lease: Lease | None = None,
    ) -> None:
        """Assemble the run, whose folder the main process holds by a ``lease``.

        Raises ValueError where processes read different data, too many samples are unusable or memory cannot suffice.
        """
        config = recipe.config
        self._recipe = recipe
        self._config = config
        self._folder = folder
        self._runtime = runtime
        self._sources = sources
        self._lease = lease
        refuse_other_data(sources, runtime)
        self._trained = recipe.build(sources.train, folder, runtime)
        skipped_file = folder.skipped if runtime.is_main_rank else None
        self._skip_log = SkipLog(sources.train, config.data.max_skipped_ratio, skipped_file)
        self._parts = assemble(config, sources.train, self._trained, runtime, self._skip_log)
        self._micro_batch_size = config.training.micro_batch_on(runtime.world_size)
        check_memory(config, self._trained.model, runtime.device, self._micro_batch_size)
        adapter = self._trained.weights.adapter
        self._checkpoints = RunCheckpoints(
            folder.checkpoints,
            config.training,
            self._trained.model,
            self._parts.updater,
            self._parts.average,
            lease,
            None if adapter is None else adapter.base_sha256,
        )
        self._start = self._checkpoints.restore()
        self._parts.batches.cached = cached_crops(config, self._parts, console)
        self._progress = RunProgress(
            steps=config.training.steps,
            first_step=self._start.step,
            console=console if runtime.is_main_rank else None,
            is_main_rank=runtime.is_main_rank,
        )

    def run(self) -> None:
        """Train to the end, save the weights and write the report.

        Raises TrainingInterrupted after a signal to stop, LoaderWorkersDiedError after too many deaths of workers.
        """
        self._checkpoints.read_copies()
        tracker = Trackers([self._progress, *self._trackers()])
        ending = self._runtime.ending
        ending.clears_terminal, ending.closes_files = self._progress.close, tracker.close
        try:
            if self._runtime.is_main_rank:
                self._log_opening()
            self._train(tracker)
            self._check_weights()
            self._finish()
            self._runtime.barrier()
        except BaseException:
            tracker.close_after_error()
            raise
        tracker.close()

    def _train(self, tracker: Tracker) -> None:
        config, runtime, parts = self._config, self._runtime, self._parts
        validation_file = self._folder.skipped_in_validation
        loop_parts = LoopParts(
            batches=parts.batches,
            updater=parts.updater,
            validate=build_validation(self._recipe, parts, self._sources.validation, validation_file),
            average=parts.average,
            checkpoints=self._checkpoints,
            review=self._step_review(),
            count_skipped=lambda: runtime.share_skipped(self._skip_log),
            tracker=tracker,
            progress=self._progress,
            resume_command=config.resume_command(),
            fewer_workers_command=f"{config.resume_command()} --data.num-workers {parts.batches.num_workers // 2}",
        )
        try:
            with explained_out_of_memory(self._micro_batch_size, runtime.device):
                train(loop_parts, config.training, config.optimizer, config.schedule, start=self._start)
        except TrainingInterrupted as interrupted:
            # Whoever sends another signal than Ctrl-C waits for the end, and kills soon.
            if interrupted.number == INTERRUPT and config.training.report:
                self._write_report(stopped_after=interrupted.step)
            raise

    def _step_review(self) -> StepReview:
        runtime, start, batches = self._runtime, self._start, self._parts.batches
        return StepReview(
            lambda step: batches.sample_names(start.samples_after(step - 1)),
            first_step=start.step,
            max_skipped_in_a_row=self._config.training.max_skipped_steps,
            skipped_file=self._folder.skipped_steps if runtime.is_main_rank else None,
            level=logging.WARNING if runtime.is_main_rank else logging.DEBUG,
        )

    def _check_weights(self) -> None:
        if not self._checkpoints.are_weights_finite():
            raise FloatingPointError(
                f"the weights of the newest checkpoint are not finite and are not written to {self._folder.weights};"
                f" delete it and resume from the one before: {self._config.resume_command()}"
            )

    def _finish(self) -> None:
        """Write the weights and the report; called by all processes, of which the main one writes."""
        folder = self._folder
        with self._parts.averaged_weights():
            self._save_last_weights()
        if self._runtime.is_main_rank:
            logger.info(f"weights in {folder.weights}")
            self._finish_best()
        if self._config.training.report:
            self._write_report()
        if self._runtime.is_main_rank and len(self._skip_log):
            logger.warning(f"{self._skip_log.summary()}; their names are in {folder.skipped}")

    def _save_last_weights(self) -> None:
        """Write the weights; sharded ones are gathered one by one, so that no process needs all of them."""
        tensors, step = tensors_to_save(self._trained.model, self._trained.weights), self._config.training.steps
        last = step, self._start.samples_after(step)
        if not self._runtime.is_sharded:
            if self._runtime.is_main_rank:
                self._save_weights(self._folder.weights, *last)
        elif self._runtime.is_main_rank:
            self._save_weights(self._folder.weights, *last, lambda name: whole(tensors[name]))
        else:
            for name in stream_order(tensors):
                whole(tensors[name])

    def _write_report(self, stopped_after: int | None = None) -> None:
        self._check_lease()
        with self._parts.as_used(in_all_processes=False) as trained:
            if self._runtime.is_main_rank:
                last = self._config.training.steps if stopped_after is None else stopped_after
                args = (
                    self._recipe,
                    self._folder,
                    trained,
                    self._sources,
                    self._runtime,
                    self._start.samples_after(last),
                )
                report = write_report(*args, stopped_after=stopped_after)
                if stopped_after is None:
                    logger.info(f"report in {report}")

    def _finish_best(self) -> None:
        """Write the weights of the best checkpoint, where ``training.keep_best`` asks for them."""
        best, metric = self._checkpoints.best(), self._config.training.keep_best
        if best is None or metric is None:
            return
        damage = damage_of(best.path, best.step)
        if damage is not None:
            logger.warning(f"no weights of the best checkpoint are written: {damage}")
            return
        with checkpoint_weights(best.path) as read:
            self._save_weights(self._folder.best_weights, best.step, read_samples_seen(best.path), read)
        logger.info(
            f"best {metric_title(metric)}, {readable(metric, best.value)} after step {best.step:,}:"
            f" weights in {self._folder.best_weights}"
        )

    def _save_weights(
        self, path: Path, step: int, samples_seen: int, read: Callable[[str], Tensor] | None = None
    ) -> None:
        self._check_lease()
        trained = self._trained
        provenance = run_provenance(self._recipe, self._folder, self._sources, self._runtime, step, samples_seen)
        config = replace(trained.weights, limits=trained.limits)
        save_weights(path, trained.model, trained.tokenizer, config, provenance=provenance, read=read)

    def _check_lease(self) -> None:
        """Raise LeaseLostError where another process has taken the folder over."""
        if self._lease is not None:
            self._lease.check()

    def _trackers(self) -> Iterator[Tracker]:
        """Open the trackers, in the main process only."""
        if not self._runtime.is_main_rank:
            return
        training, folder = self._config.training, self._folder
        yield MetricsFile(folder.metrics, first_step=self._start.step, lease=self._lease)
        if training.tensorboard:
            yield TensorBoard(folder.tensorboard, first_step=self._start.step)
        if training.wandb is not None:
            yield WeightsAndBiases(training.wandb, to_plain(self._config), id_path=folder.wandb_id)

    def _log_opening(self) -> None:
        """Log the model, the data and warnings before the first step."""
        runtime, trained = self._runtime, self._trained
        source = self._parts.source
        logger.info(
            f"{self._recipe.title}: {trained.model.num_parameters:,} parameters on {runtime.device} in"
            f" {runtime.precision}, {runtime.world_size} process{'es' if runtime.world_size > 1 else ''}"
        )
        logger.info(
            f"{len(source):,} samples of {source.name}, {trained.tokenizer.vocab_size:,} token ids,"
            f" {self._start.samples_after(self._config.training.steps) / len(source):.1f} epochs"
        )
        if self._sources.validation is None:
            logger.info("no validation; set its data with --data.validation")
        for line in self._recipe.summary(trained):
            logger.info(line)
        for warning in self._warnings():
            logger.warning(warning)
        if self._start.step > 0:
            logger.info(f"resuming after step {self._start.step}")

    def _warnings(self) -> Iterator[str]:
        yield from remarks_on(self._sources.train)
        yield from self._recipe.notices(self._trained)
        if self._trained.compares_samples:
            yield from repeated_samples_notice(self._parts.source, self._config.training.global_batch_size)
        yield from uncached_notice(self._parts.source, self._config.data.cache_images)
        if len(self._skip_log):
            yield self._skip_log.summary()
        warmup_steps, steps = self._config.schedule.warmup_steps, self._config.training.steps
        if warmup_steps >= steps:
            yield f"the learning rate never reaches its peak: schedule.warmup_steps {warmup_steps} of {steps} steps"
