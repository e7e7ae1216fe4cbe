"""A run's report.html and the facts in it."""

import math
import os
import platform
from datetime import datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import torch

from sycoca._version import __version__
from sycoca.data.loading.skipping import read_skipped
from sycoca.data.samples import SampleSource
from sycoca.facts.objective_facts import ObjectiveName
from sycoca.inference.predictor import Predictor
from sycoca.objectives.contrastive import contrastive_chance
from sycoca.outputs.set_aside import set_aside_unusable
from sycoca.reports.curves import Lines, points_of
from sycoca.reports.page import save_page
from sycoca.reports.run_report import Gallery, RunRecord, run_page
from sycoca.training.config import RunConfig
from sycoca.training.engine.runtime import Runtime
from sycoca.training.engine.tracking import read_metrics
from sycoca.training.recipes.image_text.recipe import ImageTextRecipe
from sycoca.training.recipes.recipe import Recipe, Sources, TrainedParts
from sycoca.training.run.validation import num_chosen, num_validated, validation_batch_sizes
from sycoca.training.run_folder import RunFolder


def write_report(
    recipe: Recipe,
    folder: RunFolder,
    trained: TrainedParts,
    sources: Sources,
    runtime: Runtime,
    samples_seen: int,
    stopped_after: int | None = None,
) -> Path:
    """Write the run's ``report.html``; that of an interrupted run has no examples, which would take time."""
    record = run_record(
        recipe,
        folder,
        sources,
        runtime,
        num_parameters=trained.model.num_parameters,
        samples_seen=samples_seen,
        stopped_after=stopped_after,
    )
    predictor = Predictor(trained.model, trained.tokenizer, trained.weights)
    examples = None if stopped_after is not None else run_examples(recipe, predictor, sources)
    set_aside_unusable(folder.report)
    save_page(run_page(record, examples), folder.report)
    return folder.report


def run_examples(recipe: Recipe, predictor: Predictor, sources: Sources) -> Gallery:
    """Return examples of the model's outputs on validation samples, or on training samples without validation data."""
    if sources.validation is None:
        return recipe.gallery(predictor, sources.train, "training images")
    return recipe.gallery(predictor, sources.validation, "held-out images")


def run_record(
    recipe: Recipe,
    folder: RunFolder,
    sources: Sources,
    runtime: Runtime,
    *,
    num_parameters: int,
    samples_seen: int,
    stopped_after: int | None = None,
) -> RunRecord:
    """Collect the facts of a run from its folder, its data and the machine."""
    config = recipe.config
    lines = read_metrics(folder.metrics)
    step = config.training.steps if stopped_after is None else stopped_after
    validation, description = sources.validation, recipe.description.replace("`", "")
    num_used = None if validation is None else num_validated(config, validation, folder.skipped_in_validation)
    seconds = training_seconds(lines, samples_seen)
    return RunRecord(
        folder=folder.path,
        training=recipe.training,
        title=recipe.title,
        summary=(
            f"A model of {num_parameters:,} parameters, {description} on {len(sources.train):,} samples for"
            f" {step:,} steps of {config.training.global_batch_size:,}"
            f"{f' in {duration(seconds)}' if seconds else ''}, validation excluded."
        ),
        config=config,
        lines=lines,
        facts=_facts(recipe, sources, lines, step, samples_seen, num_parameters),
        environment=_environment(config, runtime),
        num_validated=num_used,
        validated=None if num_used is None or validation is None else _validated(config, validation, num_used),
        loss_baselines={} if num_used is None else _loss_baselines(recipe, num_used),
        skipped=[*read_skipped(folder.skipped), *read_skipped(folder.skipped_in_validation)],
        stopped_after=stopped_after,
        resume_command=config.resume_command(),
        commands_to_try=recipe.commands_to_try,
    )


def _loss_baselines(recipe: Recipe, num_samples: int) -> dict[ObjectiveName, str]:
    """Return what losses of so many held-out samples are without any knowledge, where that is known."""
    if not isinstance(recipe, ImageTextRecipe) or recipe.objectives_config.contrastive_weight == 0:
        return {}
    sizes, kind = validation_batch_sizes(recipe.config, num_samples), recipe.objectives_config.contrastive_loss
    chance = sum(size * contrastive_chance(kind, size) for size in sizes) / num_samples
    different = " and ".join(f"{size:,}" for size in dict.fromkeys(sizes))
    return {"contrastive": f"chance {chance:.2f}, in batches of {different}"}


def _validated(config: RunConfig, source: SampleSource, num_used: int) -> str:
    """Return which samples of a source validation measures."""
    number = num_chosen(config, source)
    which = f"{len(source):,}" if number == len(source) else f"first {number:,} of {len(source):,}"
    unusable = f", {number - num_used:,} unusable ones left out" if num_used < number else ""
    return f"the {which} samples of {source.name}{unusable}"


def training_seconds(lines: Lines, samples_seen: int | None = None) -> float:
    """Return the time spent in steps, from the logged throughput; also right for resumed runs.

    ``samples_seen``: the samples of all steps. Those after the last log entry, where the run stopped between two, took
    as long each as those before it. None takes the steps up to that entry.
    """
    pace = {"samples_seen", "images_per_second"}
    seen = [
        (0.0, 0.0),
        *((line["samples_seen"], line["images_per_second"]) for line in lines if pace <= line.keys()),
    ]
    if samples_seen is not None and samples_seen > (seen[-1][0] or 0):
        seen.append((samples_seen, seen[-1][1]))
    return math.fsum((after[0] - before[0]) / after[1] for before, after in pairwise(seen) if after[0] and after[1])


def duration(seconds: float) -> str:
    """Return a readable duration: 42 s, 5.9 minutes, 3.2 hours, 2.5 days."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def _facts(
    recipe: Recipe, sources: Sources, lines: Lines, step: int, samples_seen: int, num_parameters: int
) -> dict[str, str]:
    config = recipe.config
    batch_size, num_train = config.training.global_batch_size, len(sources.train)
    seconds, validation = training_seconds(lines, samples_seen), sources.validation
    pace = points_of(lines, "images_per_second")
    return {
        "parameters": f"{num_parameters:,}",
        "training": recipe.title,
        "training data": f"{num_train:,} samples of {sources.train.name}",
        "validation data": "none" if validation is None else f"{len(validation):,} samples of {validation.name}",
        "steps": f"{step:,} of {config.training.steps:,}, {batch_size:,} samples each",
        "epochs": f"{samples_seen / num_train:.1f}",
        "time in steps, without validation": duration(seconds) if seconds else "not measured",
        "pace": f"{samples_seen / seconds:,.0f} images/s" if pace and seconds else "not measured",
        **_skipped_steps(lines),
        **not_the_paper(recipe),
    }


def _skipped_steps(lines: Lines) -> dict[str, str]:
    """Return a row about the steps that were skipped; none where all were finite."""
    numbers = points_of(lines, "skipped_steps")
    num_skipped = int(numbers[-1][1]) if numbers else 0
    return {"skipped steps": f"{num_skipped:,}, named in skipped_steps.jsonl"} if num_skipped else {}


def not_the_paper(recipe: Recipe) -> dict[str, str]:
    """Return a row about the settings that differ from the paper's; none where all are the paper's."""
    return {"not the paper's settings": "; ".join(recipe.deviations)} if recipe.deviations else {}


def device_name(device: torch.device) -> str:
    """Return the device's name, such as ``cpu (x86_64, 2 of 2 cores)``."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()}"
    cores = "" if device.type == "cuda" else f", {torch.get_num_threads()} of {os.cpu_count()} cores"
    return f"{device} ({name}{cores})"


def _environment(config: RunConfig, runtime: Runtime) -> dict[str, str]:
    return {
        "device": device_name(runtime.device),
        "precision": runtime.precision,
        "processes": f"{runtime.world_size}",
        "seed": f"{config.seed}",
        "sycoca": __version__,
        "torch": version("torch"),
        "Python": platform.python_version(),
        "system": platform.platform(terse=True),
        "finished": datetime.now().isoformat(sep=" ", timespec="minutes"),
    }
