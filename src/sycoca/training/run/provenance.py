"""The provenance of a run's weights, for the model card."""

from importlib.metadata import version
from pathlib import Path

import yaml

from sycoca._version import __version__
from sycoca.data.loading.skipping import read_skipped
from sycoca.facts.metric_facts import VALIDATION, readable
from sycoca.facts.objective_facts import MASKED_CAPTIONING
from sycoca.plain_data import to_plain
from sycoca.reports.curves import Lines
from sycoca.training.config import RunConfig
from sycoca.training.engine.runtime import Runtime
from sycoca.training.engine.tracking import read_metrics
from sycoca.training.recipes.recipe import Recipe, Sources
from sycoca.training.run.report import device_name, duration, not_the_paper, training_seconds
from sycoca.training.run.validation import num_validated
from sycoca.training.run_folder import RunFolder
from sycoca.weights.provenance import DataFacts, Measurement, Provenance


def run_provenance(
    recipe: Recipe, folder: RunFolder, sources: Sources, runtime: Runtime, step: int, samples_seen: int
) -> Provenance:
    """Return the provenance of the weights of a run after a step."""
    config, validation, description = recipe.config, sources.validation, recipe.description
    lines = [line for line in read_metrics(folder.metrics) if (line["step"] or 0) <= step]
    train_name = sources.train_spec or sources.train.name
    return Provenance(
        summary=(
            f"{description[0].upper()}{description[1:]} for {_steps(step, config)} steps of"
            f" {config.training.global_batch_size:,} samples on `{train_name}`, seed {config.seed}."
        ),
        base=recipe.base,
        objectives=recipe.objectives,
        trained_on=DataFacts(
            name=train_name,
            num_samples=len(sources.train),
            num_skipped=_num_lost(folder.skipped),
        ),
        recipe=_recipe(config, step, lines, samples_seen, len(sources.train), runtime) | not_the_paper(recipe),
        measured_on=None
        if validation is None
        else DataFacts(
            name=sources.validation_spec or validation.name,
            num_samples=num_validated(config, validation, folder.skipped_in_validation),
            num_skipped=_num_lost(folder.skipped_in_validation),
        ),
        measurements=_measurements(lines),
        config=yaml.safe_dump(to_plain(config), sort_keys=False, allow_unicode=True),
    )


def _steps(step: int, config: RunConfig) -> str:
    steps = config.training.steps
    return f"{step:,}" if step == steps else f"the first {step:,} of {steps:,}"


def _recipe(
    config: RunConfig, step: int, lines: Lines, samples_seen: int, num_train: int, runtime: Runtime
) -> dict[str, str]:
    training, optimizer, schedule = config.training, config.optimizer, config.schedule
    batch_size = training.global_batch_size
    processes = "process" if runtime.world_size == 1 else "processes"
    return {
        "steps": f"{_steps(step, config)} of {batch_size:,} samples each ({samples_seen / num_train:.1f} epochs)",
        "optimizer": f"{optimizer.facts.title}, weight decay {optimizer.weight_decay:g}, betas {optimizer.betas[0]:g}"
        f" and {optimizer.betas[1]:g}",
        "learning rate": f"{optimizer.peak_lr:g} after {schedule.warmup_steps:,} steps of warm-up, then cosine decay"
        f" to {optimizer.peak_lr * schedule.final_lr_ratio:g}",
        "seed": f"{config.seed}",
        "precision": runtime.precision,
        "device": f"{device_name(runtime.device)}, {runtime.world_size} {processes}",
        "time in training": duration(training_seconds(lines, samples_seen)),
        "versions": f"sycoca {__version__}, torch {version('torch')}",
    }


def _measurements(lines: Lines) -> tuple[Measurement, ...]:
    """Return the metrics of the last validation without the losses, which do not compare between runs."""
    losses = {name for line in lines for name in line} | {MASKED_CAPTIONING}
    last = next((line for line in reversed(lines) if any(name.startswith(VALIDATION) for name in line)), {})
    found = {name.removeprefix(VALIDATION): value for name, value in last.items() if name.startswith(VALIDATION)}
    return tuple(
        Measurement(name=name, value=value, text=readable(name, value))
        for name, value in found.items()
        if name not in losses and value is not None
    )


def _num_lost(skipped: Path) -> int:
    """Return how many samples a file of skipped ones names; captions left out of images that stay do not count."""
    return sum(not one.image_stays for one in read_skipped(skipped))
