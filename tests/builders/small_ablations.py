"""Ablations of seconds: a tiny model, few steps, few scenes. Everything runs, nothing is learned."""

from pathlib import Path

from sycoca.experiments.ablation.plan import AblationPlan, PlannedRun, plan_of
from sycoca.experiments.ablation.recipe import recipe_of
from sycoca.experiments.ablation.run_result import RunResult
from sycoca.experiments.ablation.settings import AblationData, AblationSettings
from sycoca.plain_data import write_yaml

RECIPE = {
    "base": {
        "data": {"train": "scenes:?level=easy&count=24&size=16"},
        "model": {
            "image_encoder": {"image_size": 16, "patch_size": 4, "width": 16, "depth": 1},
            "text_encoder": {"width": 16, "depth": 1},
            "text_decoder": {"depth": 1},
            "image_decoder": {"width": 16, "depth": 1},
            "embed_dim": 16,
        },
        "training": {"steps": 4, "global_batch_size": 8, "save_every": 40},
        "schedule": {"warmup_steps": 1},
    },
    "rows": {
        "coca": {"objectives": {"masked_image_weight": 0}, "masking": {"hides_from_captioning": False}},
        "sycoca": {},
    },
}
"""Two rows."""

TEST_SCENES = "scenes:?level=medium&count=12&split=test&size=16"


def write_recipe(folder: Path) -> Path:
    """Write the recipe, and return its path."""
    path = folder / "small.yaml"
    write_yaml(path, RECIPE)
    return path


def small_settings(folder: Path, **changes: object) -> AblationSettings:
    """Return the settings of a small ablation into ``folder / "out"``."""
    given: dict = {"seeds": "2", "processes": 2, "data": AblationData(test=TEST_SCENES), **changes}
    return AblationSettings(recipe=str(write_recipe(folder)), out=folder / "out", **given)


def small_plan(folder: Path) -> AblationPlan:
    """Return its plan."""
    settings = small_settings(folder)
    return plan_of(settings, recipe_of(settings.recipe))


def made_up_result(plan: AblationPlan, row: str, seed: int, steps: int, **metrics: float | None) -> RunResult:
    """Return a result with these metrics."""
    return RunResult(
        row=row,
        seed=seed,
        steps=steps,
        settings_sha256=plan.digest(PlannedRun(row=row, seed=seed, steps=steps)),
        measured_on=plan.measured_on,
        num_samples=12,
        training_processor_seconds=60.0,
        processor_seconds=90.0,
        wall_seconds=120.0,
        killed_sessions=0,
        versions={},
        metrics=metrics,
    )
