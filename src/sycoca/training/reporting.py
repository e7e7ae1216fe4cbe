"""What is known of a run when it ends, and its report.html."""

import math
import os
import platform
from datetime import datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import torch

from sycoca._version import __version__
from sycoca.data.skipping import read_skipped
from sycoca.inference.predictor import Predictor
from sycoca.reports.curves import Lines, points_of
from sycoca.reports.page import save_page
from sycoca.reports.run_report import Examples, RunRecord, gather_examples, run_page
from sycoca.training.assembly import RunParts, Sources, weights_config
from sycoca.training.config import PretrainConfig
from sycoca.training.run_folder import RunFolder
from sycoca.training.runtime import Runtime
from sycoca.training.tracking import read_metrics


def write_report(
    config: PretrainConfig,
    folder: RunFolder,
    parts: RunParts,
    sources: Sources,
    runtime: Runtime,
    *,
    stopped_after: int | None = None,
) -> Path:
    """Write the run's ``report.html``; a run that was stopped gets no examples, so that it ends at once."""
    record = run_record(
        config, folder, sources, runtime, num_parameters=parts.model.num_parameters, stopped_after=stopped_after
    )
    predictor = Predictor(parts.model, parts.tokenizer, weights_config(config, parts.model))
    examples = None if stopped_after is not None else run_examples(config, predictor, sources)
    save_page(run_page(record, examples), folder.report)
    return folder.report


def run_examples(config: PretrainConfig, predictor: Predictor, sources: Sources) -> Examples:
    """Return what the model does with validation samples, or with training samples where there are no others."""
    return gather_examples(
        predictor,
        sources.train if sources.validation is None else sources.validation,
        "training images" if sources.validation is None else "held-out images",
        can_search=config.objectives.contrastive_weight != 0,
    )


def run_record(
    config: PretrainConfig,
    folder: RunFolder,
    sources: Sources,
    runtime: Runtime,
    *,
    num_parameters: int,
    stopped_after: int | None = None,
) -> RunRecord:
    """Collect what the run folder, its data and the machine say about a run."""
    lines = read_metrics(folder.metrics) if folder.metrics.exists() else []
    step = config.training.steps if stopped_after is None else stopped_after
    validation = sources.validation
    return RunRecord(
        folder=folder.path,
        summary=(
            f"A model of {num_parameters:,} parameters, trained from nothing on {len(sources.train):,} samples for"
            f" {step:,} steps of {config.training.global_batch_size:,} pairs in {duration(training_seconds(lines))}."
        ),
        config=config,
        lines=lines,
        facts=_facts(config, sources, lines, step, num_parameters),
        environment=_environment(config, runtime),
        num_validated=None if validation is None else min(len(validation), config.training.evaluation_samples),
        skipped=[*read_skipped(folder.skipped), *read_skipped(folder.skipped_in_validation)],
        stopped_after=stopped_after,
    )


def training_seconds(lines: Lines) -> float:
    """Return the time spent in steps, from the pace of every logged line: right for runs in several parts, too."""
    seen = [
        (0.0, 0.0),
        *((line["samples_seen"], line["images_per_second"]) for line in lines if "samples_seen" in line),
    ]
    return math.fsum((after[0] - before[0]) / after[1] for before, after in pairwise(seen) if after[0] and after[1])


def duration(seconds: float) -> str:
    """Return a time as people say it: 42 s, 5.9 minutes, 3.2 hours, 2.5 days."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def _facts(config: PretrainConfig, sources: Sources, lines: Lines, step: int, num_parameters: int) -> dict[str, str]:
    batch_size, num_train = config.training.global_batch_size, len(sources.train)
    seconds, validation = training_seconds(lines), sources.validation
    pace = points_of(lines, "images_per_second")
    return {
        "parameters": f"{num_parameters:,}",
        "preset": config.preset,
        "training data": f"{num_train:,} samples of {sources.train.name}",
        "validation data": "none" if validation is None else f"{len(validation):,} samples of {validation.name}",
        "steps": f"{step:,} of {config.training.steps:,}, {batch_size:,} pairs each",
        "epochs": f"{step * batch_size / num_train:.1f}",
        "time in training": duration(seconds),
        "pace": f"{step * batch_size / seconds:,.0f} images/s" if pace and seconds else "not measured",
    }


def _environment(config: PretrainConfig, runtime: Runtime) -> dict[str, str]:
    device = runtime.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()}"
    cores = "" if device.type == "cuda" else f", {torch.get_num_threads()} of {os.cpu_count()} cores"
    return {
        "device": f"{device} ({name}{cores})",
        "precision": runtime.precision,
        "processes": f"{runtime.world_size}",
        "seed": f"{config.seed}",
        "sycoca": __version__,
        "torch": version("torch"),
        "Python": platform.python_version(),
        "system": platform.platform(terse=True),
        "finished": datetime.now().isoformat(sep=" ", timespec="minutes"),
    }
