"""One run of an ablation: train or resume, measure, write the result."""

import platform
import time
from dataclasses import replace

import torch

from sycoca._version import __version__
from sycoca.data.spec import open_source
from sycoca.experiments.ablation.folder import AblationFolder, Times
from sycoca.experiments.ablation.measures import measure
from sycoca.experiments.ablation.plan import AblationPlan, PlannedRun
from sycoca.experiments.ablation.run_result import RunResult
from sycoca.experiments.ablation.transfer import answered, probed
from sycoca.inference.load import load
from sycoca.training.pretrain import pretrain, resume_pretraining
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.run_folder import RunFolder


def complete_run(plan: AblationPlan, folder: AblationFolder, run: PlannedRun) -> RunResult:
    """Bring a run to its result, from wherever an earlier session has left it; the caller has claimed it.

    The result of an interrupted run has the metrics of an uninterrupted one. Raises TrainingInterrupted after a signal
    to stop, and what training and evaluation raise.
    """
    session = _Session(folder, run)
    config = plan.config(run, folder.run(run))
    trained = RunFolder(folder.run(run))
    if not trained.weights.exists():
        _train(config, trained, session)
    source = open_source(plan.measured_on)
    predictor = load(trained.weights, device="cpu", dtype="float32")
    measured = measure(predictor, source, config.objectives)
    train = config.data.train
    transferred = probed(predictor, open_source(train), source)
    if predictor.model.text_decoder is not None:
        transferred |= answered(trained.weights, train, source)
    times = session.end()
    result = RunResult(
        row=run.row,
        seed=run.seed,
        steps=run.steps,
        settings_sha256=plan.digest(run),
        measured_on=plan.measured_on,
        num_samples=measured.num_samples,
        training_processor_seconds=round(times.training_processor_seconds, 2),
        processor_seconds=round(times.processor_seconds, 2),
        wall_seconds=round(times.wall_seconds, 2),
        killed_sessions=times.killed_sessions,
        versions=_versions(),
        metrics={**measured.metrics, **transferred},
        resamples=measured.resamples,
    )
    result.save(folder.result(run))
    return result


def _train(config: PretrainConfig, trained: RunFolder, session: "_Session") -> None:
    try:
        (resume_pretraining if trained.holds_run() else pretrain)(config)
    except BaseException:
        session.end_training()
        session.end()
        raise
    session.end_training()


class _Session:
    """The clock of one process's work on a run; a killed process leaves one more killed session behind."""

    def __init__(self, folder: AblationFolder, run: PlannedRun) -> None:
        self._folder = folder
        self._run = run
        self._before = folder.read_times(run)
        self._processor_start, self._wall_start = time.process_time(), time.perf_counter()
        self._training = self._before.training_processor_seconds
        folder.write_times(run, replace(self._before, killed_sessions=self._before.killed_sessions + 1))

    def end_training(self) -> None:
        """Note the processor time of training."""
        self._training += time.process_time() - self._processor_start
        # A process that is killed while it measures has lost its time of measuring alone.
        killed = self._before.killed_sessions + 1
        self._folder.write_times(self._run, replace(self._times(), killed_sessions=killed))

    def end(self) -> Times:
        """Note that the session has ended by itself, and return the times of all sessions."""
        times = self._times()
        self._folder.write_times(self._run, times)
        return times

    def _times(self) -> Times:
        before = self._before
        return Times(
            training_processor_seconds=self._training,
            processor_seconds=before.processor_seconds + time.process_time() - self._processor_start,
            wall_seconds=before.wall_seconds + time.perf_counter() - self._wall_start,
            killed_sessions=before.killed_sessions,
        )


def _versions() -> dict[str, str]:
    return {
        "sycoca": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
    }
