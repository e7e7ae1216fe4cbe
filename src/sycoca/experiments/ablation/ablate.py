"""Ablations: all runs of a table, on any number of machines that share a folder, and their analysis."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import assert_never

from rich.console import Console

from sycoca.data.samples import SampleSource
from sycoca.data.spec import open_source
from sycoca.experiments.ablation.analysis import Analysis, analyze
from sycoca.experiments.ablation.folder import AblationFolder
from sycoca.experiments.ablation.page import ablation_page
from sycoca.experiments.ablation.plan import AblationPlan, PlannedRun, agree, plan_of, read_plan
from sycoca.experiments.ablation.plot import save_plot
from sycoca.experiments.ablation.processes import Completed, Failure, RunJob, complete_in_processes
from sycoca.experiments.ablation.recipe import checked_baseline, name_of, recipe_of
from sycoca.experiments.ablation.settings import AblationSettings, EqualBy, TestSplit
from sycoca.experiments.ablation.table_text import markdown
from sycoca.outputs.errors import OutputError, OutputInterrupted, Remains
from sycoca.outputs.output import Output
from sycoca.plain_data import write_text
from sycoca.progress_bar import tracked
from sycoca.stop_signals import number_of
from sycoca.worker_processes import usable_cores

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class AblationResult:
    """What an ablation has found so far."""

    analyses: tuple[Analysis, ...]
    """At equal steps, and at equal processor time where there are results."""

    failures: tuple[Failure, ...] = ()
    """The runs that have no result since they failed."""

    def to_json(self) -> str:
        """Return the analyses as JSON, with the runs that failed."""
        plain = {
            "analyses": [one.to_plain() for one in self.analyses],
            "failed": {one.run.name: one.reason for one in self.failures},
        }
        return json.dumps(plain, indent=1, allow_nan=False)


def ablate(settings: AblationSettings, *, console: Console | None = None) -> AblationResult:
    """Train and measure all runs that have no result, write the analysis into the folder, and return it.

    Another process with the same settings and folder shares the work, on any machine; a stopped ablation resumes.
    Raises ValueError for settings that contradict each other, and for data that cannot be opened; OutputError (a
    ValueError) where the folder cannot be written, or was begun with other ones; DamageError (a ValueError) for a
    result that cannot be read; OutputInterrupted after a signal to stop, when all runs have saved checkpoints.
    """
    plan = plan_of(settings, recipe_of(settings.recipe))
    folder = AblationFolder(settings.out)
    Output(path=settings.out, kind="files in a folder").check()
    check_data(plan, settings.split)
    agree(folder.path, plan)
    folder.write_recipe(plan)
    folder.results(plan)  # raises for what the analysis at the end, hours later, could not read
    runs = runs_of(plan, settings.seed_list, _steps(plan, folder, settings.equal))
    job = RunJob(plan=plan, folder=folder, keeps_weights=settings.keep_weights)
    failures = _complete(job, runs, settings.processes or usable_cores(), console)
    return analyzed(folder, plan, failures)


def read_ablation(out: Path, recipe: str | None = None) -> AblationResult:
    """Analyze what a folder holds, finished or not, and write the analysis into it.

    Raises OutputError (a ValueError) where it is no folder of an ablation, or not one of the table ``recipe``.
    """
    return analyzed(AblationFolder(out), _plan_in(out, recipe), ())


def compare_with(out: Path, baseline: str, recipe: str | None = None) -> AblationResult:
    """Compare the rows of a folder with another row than its baseline; nothing is written.

    Raises ValueError for a row that there is not, and OutputError as `read_ablation` does.
    """
    plan = _plan_in(out, recipe)
    names = [row.name for row in plan.recipe.rows]
    other = replace(plan, recipe=replace(plan.recipe, baseline=checked_baseline(baseline, names, str(out))))
    return AblationResult(analyses=analyses_of(AblationFolder(out), other))


def _plan_in(out: Path, recipe: str | None) -> AblationPlan:
    plan = read_plan(out)
    if recipe is not None and plan.recipe.name != name_of(recipe):
        raise OutputError(f"{out} holds an ablation of {plan.recipe.name}, not of {name_of(recipe)}")
    return plan


def analyzed(folder: AblationFolder, plan: AblationPlan, failures: Sequence[Failure]) -> AblationResult:
    """Analyze all results of a folder, and write table.md, .json, .html and .svg."""
    analyses = analyses_of(folder, plan)
    result = AblationResult(analyses=analyses, failures=tuple(failures))
    write_text(folder.table("json"), result.to_json() + "\n")
    write_text(folder.table("md"), markdown(analyses))
    save_plot(analyses, folder.table("svg"))
    write_text(folder.table("html"), ablation_page(plan, analyses))
    return result


def analyses_of(folder: AblationFolder, plan: AblationPlan) -> tuple[Analysis, ...]:
    """Return the analysis at equal steps, and that at equal processor time where steps of it were measured.

    One that has nothing to compare yet, since runs have only begun with the other, is left out.
    """
    results = folder.results(plan)
    steps: dict[EqualBy, Mapping[str, int] | None] = {
        "steps": plan.equal_steps(),
        "processor-time": folder.read_steps(plan),
    }
    found = tuple(analyze(plan, results, own, equal) for equal, own in steps.items() if own is not None)
    return tuple(one for one in found if one.compares) or found


def runs_of(plan: AblationPlan, seeds: Sequence[int], steps: Mapping[str, int]) -> list[PlannedRun]:
    """Return all runs, seed by seed, so that an unfinished ablation has pairs to compare."""
    return [PlannedRun(row=row.name, seed=seed, steps=steps[row.name]) for seed in seeds for row in plan.recipe.rows]


def check_data(plan: AblationPlan, split: TestSplit) -> None:
    """Raise ValueError where data of all runs cannot be opened, or what fits their linear probe is not installed.

    Without this each run would say so, test data only once it is trained. A row that trains on data of its own says so
    itself, and ends no other.
    """
    measured_on = _opened(plan.measured_on, split)
    of_rows = {plan.config(PlannedRun(row=row.name, seed=0, steps=0), Path()).data.train for row in plan.recipe.rows}
    if len(of_rows) > 1:
        return
    train = _opened(of_rows.pop(), "train")
    if find_spec("sklearn") is None and train[0].label is not None and measured_on[0].label is not None:
        raise ValueError("images with labels are measured by a linear probe: pip install 'sycoca[probe]'")


def _opened(spec: str, part: str) -> SampleSource:
    try:
        return open_source(spec)
    except ValueError as error:
        raise ValueError(f"{part} data: {error}; name others with --{part}") from error


def _steps(plan: AblationPlan, folder: AblationFolder, equal: EqualBy) -> Mapping[str, int]:
    match equal:
        case "steps":
            return plan.equal_steps()
        case "processor-time":
            # Imported here, since it imports PyTorch, which the analysis of a folder does not need.
            from sycoca.experiments.ablation.equal_time import agreed_steps

            return agreed_steps(plan, folder)
        case unknown:
            assert_never(unknown)


def _complete(job: RunJob, runs: Sequence[PlannedRun], num_processes: int, console: Console | None) -> list[Failure]:
    job.folder.tidy_finished(runs, keeps_weights=job.keeps_weights)
    left = job.folder.unfinished(runs)
    if job.keeps_weights and (gone := [run for run in runs if run not in left and not job.folder.has_weights(run)]):
        logger.warning(
            "the weights of %d finished runs were not kept; delete results such as %s to train them again",
            len(gone),
            job.folder.result(gone[0]),
        )
    if not left:
        return []
    if len(left) < len(runs):
        logger.info("%d of %d runs are finished", len(runs) - len(left), len(runs))
    failures: list[Failure] = []
    completed = complete_in_processes(job, left, num_processes)
    try:
        for ended in tracked(completed, len(left), "runs", console=console):
            match ended:
                case Completed():
                    logger.info("%s is finished%s", ended.run.name, "" if ended.is_own else ", by another process")
                case Failure():
                    failures.append(ended)
                    logger.warning("%s failed: %s", ended.run.name, ended.reason)
    except KeyboardInterrupt as interrupt:
        completed.close()
        num_done = len(runs) - len(job.folder.unfinished(runs))
        state = f"has the results of {num_done} of {len(runs)} runs; the same command resumes the others"
        raise OutputInterrupted(Remains(path=job.folder.path, state=state), number_of(interrupt)) from None
    finally:
        completed.close()
    return failures
