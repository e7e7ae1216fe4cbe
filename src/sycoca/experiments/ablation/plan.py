"""The plan of an ablation: what is trained and measured, in ``plan.json``, so that every machine does the same.

    {"format_version": 1, "table": "objectives", "setting": "scenes", "measured_on": "scenes:?...", "baseline": "coca",
     "base": {the complete configuration}, "rows": [{"name": "clip", "title": "...", "changes": {...}, "paper": {...}}]}

The first process writes it, all others compare theirs with it. Seeds are not part of it: more can follow later.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from sycoca.experiments.ablation.recipe import AblationRecipe, AblationRow
from sycoca.experiments.ablation.settings import AblationSettings
from sycoca.facts.ablation_facts import Recalls
from sycoca.outputs.errors import OutputError
from sycoca.outputs.lease import create_once
from sycoca.outputs.manifest import DamageError, read_sound_json
from sycoca.plain_data import from_plain, overlay, to_plain, without_defaults
from sycoca.texts import shortened
from sycoca.training.recipes.pretraining.config import PretrainConfig

PLAN_NAME = "plan.json"

FORMAT_VERSION: Final = 1
"""Increases when plans change in a way that older versions cannot read."""

MEASURES_VERSION = 1
"""Increases when a metric is computed in another way: results of both must not share a table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedRun:
    """One run: a row with a seed, for a number of steps."""

    row: str
    seed: int
    steps: int

    @property
    def name(self) -> str:
        """Its name, that of its files."""
        return f"{self.row}-{self.steps}steps-seed{self.seed}"


@dataclass(frozen=True, kw_only=True, slots=True)
class AblationPlan:
    """What is trained and measured."""

    recipe: AblationRecipe
    """The rows."""

    setting: str
    """Model and data."""

    measured_on: str
    """SPEC of the data that results are measured on."""

    base: PretrainConfig
    """The configuration that rows change, the recipe's own base included."""

    def steps_of(self, row: str) -> int:
        """Return the steps of a row where rows have equal steps, or steps of their own."""
        return self.config(PlannedRun(row=row, seed=0, steps=0), Path()).training.steps

    def equal_steps(self) -> dict[str, int]:
        """Return the steps of all rows by name, where rows have equal steps."""
        return {row.name: self.steps_of(row.name) for row in self.recipe.rows}

    def config(self, run: PlannedRun, out: Path) -> PretrainConfig:
        """Return the complete configuration of a run in the folder ``out``; with 0 steps those of its row."""
        row = self.recipe.row(run.row)
        config = overlay(self.base, row.changes, f"{self.recipe.name}: rows.{row.name}")
        steps = run.steps or config.training.steps
        return replace(config, out=str(out), seed=run.seed, training=replace(config.training, steps=steps))

    def digest(self, run: PlannedRun) -> str:
        """Return the SHA-256 of all that the result of a run depends on.

        Switches and metrics that a later version adds do not change it, so that results of both share a folder.
        """
        settings = {
            "config": without_defaults(self.config(run, Path())),
            "measured_on": self.measured_on,
            "measures_version": MEASURES_VERSION,
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    def to_plain(self) -> dict[str, Any]:
        """Return the content of ``plan.json``."""
        recipe = self.recipe
        return {
            "format_version": FORMAT_VERSION,
            "table": recipe.name,
            "setting": self.setting,
            "measured_on": self.measured_on,
            "baseline": recipe.baseline,
            "remark": recipe.remark,
            "base": to_plain(self.base),
            "rows": [
                {"name": row.name, "title": row.title, "changes": row.changes, "paper": _plain_results(row)}
                for row in recipe.rows
            ],
        }


def plan_of(settings: AblationSettings, recipe: AblationRecipe) -> AblationPlan:
    """Return the plan. Raises ValueError, with the full key, where a row changes what a configuration does not have."""
    base = overlay(settings.base(), recipe.base, f"{recipe.name}: base")
    if settings.steps is not None:
        base = replace(base, training=replace(base.training, steps=settings.steps))
    plan = AblationPlan(recipe=recipe, setting=settings.setting, measured_on=settings.measured_on, base=base)
    plan.equal_steps()  # raises where a row does not fit
    return plan


def agree(folder: Path, plan: AblationPlan) -> None:
    """Write the plan of a folder, or compare it with the one that is there.

    Of several processes that begin at once, one writes. Raises OutputError where the folder has another plan, or holds
    something else.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; name a folder")
    shown = [path.name for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []
    if shown and PLAN_NAME not in shown:
        raise OutputError(
            f"{folder} is there already and holds no ablation ({min(shown)} is in it); name another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    own = plan.to_plain()
    if create_once(folder / PLAN_NAME, json.dumps(own, indent=1, ensure_ascii=False).encode() + b"\n"):
        return
    difference = next(_differences(_completed(_read(folder), folder), _by_row(own), ""), None)
    if difference is not None:
        raise OutputError(f"{folder} was begun with other settings: {difference}; name another folder with --out")


def read_plan(folder: Path) -> AblationPlan:
    """Return the plan of a folder. Raises OutputError where it has none that this version reads."""
    plain = _read(folder)
    try:
        return AblationPlan(
            recipe=AblationRecipe(
                name=plain["table"],
                baseline=plain["baseline"],
                base={},
                rows=tuple(_row(row) for row in plain["rows"]),
                remark=plain["remark"],
            ),
            setting=plain["setting"],
            measured_on=plain["measured_on"],
            base=from_plain(PretrainConfig, plain["base"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(folder, error) from error


def _row(plain: Mapping[str, Any]) -> AblationRow:
    return AblationRow(**{**plain, "paper": {data: Recalls(*recalls) for data, recalls in plain["paper"].items()}})


def _completed(plain: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a plan, as `_by_row`, with the defaults of the switches that its version did not have."""
    try:
        return _by_row({**plain, "base": to_plain(from_plain(PretrainConfig, plain["base"]))})
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(folder, error) from error


def _unreadable(folder: Path, error: Exception) -> OutputError:
    return OutputError(f"{folder / PLAN_NAME} cannot be read: {shortened(str(error))}")


def _read(folder: Path) -> dict[str, Any]:
    path = folder / PLAN_NAME
    try:
        plain = read_sound_json(path)
    except DamageError as error:
        raise OutputError(f"{error}; name the folder of an ablation") from error
    if not isinstance(plain, dict) or plain.get("format_version") != FORMAT_VERSION:
        raise OutputError(f"{path} is no plan of an ablation that this version reads")
    return plain


def _differences(old: Any, new: Any, where: str) -> Iterator[str]:
    """Yield a sentence per value in which two plans differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            name = f"{where}.{key}" if where else key
            if key not in old:
                yield f"{name} is new: {shortened(repr(new[key]))}"
            elif key not in new:
                yield f"{name} is no more: {shortened(repr(old[key]))}"
            else:
                yield from _differences(old[key], new[key], name)
    elif _is_list(old) and _is_list(new) and len(old) == len(new):
        for place, pair in enumerate(zip(old, new, strict=True)):
            yield from _differences(*pair, f"{where}[{place}]")
    elif old != new:
        yield f"{where} was {shortened(repr(old))}, is {shortened(repr(new))}"


def _by_row(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a plan with the changes of its rows by name: differences then name rows, not places."""
    return {**plain, "rows": {row["name"]: row["changes"] for row in plain["rows"]}}


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _plain_results(row: AblationRow) -> dict[str, list[float]]:
    return {data: list(recalls) for data, recalls in row.paper.items()}
