"""The folder of an ablation.

plan.json                            what is trained and measured
recipe.yaml                          its rows, in the form of a RECIPE.yaml
steps.json                           steps of equal processor time, where they were measured
results/coca-400steps-seed0.json     one file per finished run
runs/coca-400steps-seed0/            run folders of unfinished runs, and weights that are kept
table.md, .json, .html, .svg         the analysis
"""

import json
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from sycoca.experiments.ablation.plan import AblationPlan, PlannedRun
from sycoca.experiments.ablation.run_result import RunResult
from sycoca.outputs.errors import LeaseHeldError, OutputError
from sycoca.outputs.lease import Lease, lease_beside
from sycoca.outputs.manifest import read_sound_json
from sycoca.plain_data import from_plain, write_text, write_yaml
from sycoca.training.run_folder import RunFolder


@dataclass(frozen=True, kw_only=True, slots=True)
class Times:
    """What a run has taken so far."""

    training_processor_seconds: float = 0.0
    """Processor time of training, without sessions that were killed."""

    processor_seconds: float = 0.0
    """The same with measuring."""

    wall_seconds: float = 0.0
    """Duration of both."""

    killed_sessions: int = 0
    """Sessions that did not end by themselves, the present one included."""


@dataclass(frozen=True, slots=True)
class AblationFolder:
    """The paths of an ablation's files, and who works on which run."""

    path: Path
    """The folder itself."""

    @property
    def steps(self) -> Path:
        """The steps of equal processor time."""
        return self.path / "steps.json"

    def table(self, suffix: str) -> Path:
        """Return the path of the analysis, such as table.md."""
        return self.path / f"table.{suffix}"

    def result(self, run: PlannedRun) -> Path:
        """Return the path of a run's result."""
        return self.path / "results" / f"{run.name}.json"

    def run(self, run: PlannedRun) -> Path:
        """Return the run folder of a run."""
        return self.path / "runs" / run.name

    def write_recipe(self, plan: AblationPlan) -> None:
        """Write the rows as a RECIPE.yaml, as an example to change, unless they are there."""
        path = self.path / "recipe.yaml"
        if not path.exists():
            write_yaml(path, plan.recipe.to_plain())

    def unfinished(self, runs: Collection[PlannedRun]) -> list[PlannedRun]:
        """Return the runs without a result."""
        return [run for run in runs if not self.result(run).exists()]

    def has_weights(self, run: PlannedRun) -> bool:
        """Return whether the weights of a run are there."""
        return RunFolder(self.run(run)).weights.is_dir()

    @contextmanager
    def claim(self, run: PlannedRun) -> Iterator[Lease | None]:
        """Context in which the run is this process's; None where it is another one's, or finished by now."""
        folder = self.run(run)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            with Lease(lease_beside(folder), folder, waits=False) as lease:
                yield None if self.result(run).exists() else lease
        except LeaseHeldError:
            yield None

    def results(self, plan: AblationPlan) -> list[RunResult]:
        """Return all results, by row, steps and seed. Raises OutputError for one of other settings."""
        order = {row.name: place for place, row in enumerate(plan.recipe.rows)}
        found = {path: RunResult.load(path) for path in sorted((self.path / "results").glob("[!.]*.json"))}
        for path, result in found.items():
            run = PlannedRun(row=result.row, seed=result.seed, steps=result.steps)
            if result.row not in order or result.settings_sha256 != plan.digest(run):
                raise OutputError(
                    f"{path} has another settings_sha256 than the plan: it was made by another version, or"
                    " settings were changed; delete it to repeat the run"
                )
            if path != self.result(run):
                raise OutputError(f"{path} holds the result of {run.name}: it was copied or renamed; delete it")
        return sorted(found.values(), key=lambda one: (order[one.row], one.steps, one.seed))

    def read_steps(self, plan: AblationPlan) -> dict[str, int] | None:
        """Return the steps of equal processor time by row; None where they were not measured."""
        if not self.steps.exists():
            return None
        plain = read_sound_json(self.steps)
        steps = plain.get("steps") if isinstance(plain, dict) else None
        rows = {row.name for row in plan.recipe.rows}
        if not isinstance(steps, dict) or set(steps) != rows:
            raise OutputError(f"{self.steps} does not name the steps of all rows; delete it to measure them again")
        return steps

    def write_steps(self, steps: Mapping[str, int], seconds: Mapping[str, float]) -> None:
        """Write the steps of equal processor time, and the processor time of a step that they follow from."""
        plain = {"processor_seconds_per_step": dict(seconds), "steps": dict(steps)}
        write_text(self.steps, json.dumps(plain, indent=1) + "\n")

    def read_times(self, run: PlannedRun) -> Times:
        """Return what a run has taken in earlier sessions."""
        path = self._times(run)
        return from_plain(Times, read_sound_json(path), str(path)) if path.exists() else Times()

    def write_times(self, run: PlannedRun, times: Times) -> None:
        """Write what a run has taken."""
        write_text(self._times(run), json.dumps(asdict(times)) + "\n")

    def tidy(self, run: PlannedRun, *, keeps_weights: bool) -> None:
        """Delete the run folder of a finished run, but for its weights where they are kept."""
        folder = self.run(run)
        if not keeps_weights:
            shutil.rmtree(folder, ignore_errors=True)
            return
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)

    def tidy_finished(self, runs: Collection[PlannedRun], *, keeps_weights: bool) -> None:
        """Do the same for finished runs that a killed process has left untidy; tidy ones keep the weights they have."""
        for run in runs:
            if self.result(run).exists() and (self.run(run) / "checkpoints").exists():
                with suppress(LeaseHeldError), Lease(lease_beside(self.run(run)), self.run(run), waits=False):
                    self.tidy(run, keeps_weights=keeps_weights)

    def _times(self, run: PlannedRun) -> Path:
        return self.run(run) / "times.json"
