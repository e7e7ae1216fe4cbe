"""What an ablation will do, and about how long it takes, measured in a few real steps of every row."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from heapq import heapreplace
from typing import assert_never

from sycoca.experiments.ablation.ablate import check_data
from sycoca.experiments.ablation.equal_time import equal_steps, seconds_per_step
from sycoca.experiments.ablation.folder import AblationFolder
from sycoca.experiments.ablation.plan import plan_of
from sycoca.experiments.ablation.processes import in_one_thread
from sycoca.experiments.ablation.recipe import recipe_of
from sycoca.experiments.ablation.settings import AblationSettings
from sycoca.worker_processes import usable_cores

_ROUNDS = 5
"""Timed steps of each row: enough for an estimate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """The size of an ablation."""

    seeds: tuple[int, ...]
    """Seeds of each row."""

    steps: Mapping[str, int]
    """Steps of a run by row."""

    minutes: Mapping[str, float]
    """Processor time of training for a run by row, from a few steps."""

    processes: int
    """Runs at once."""

    @property
    def total_minutes(self) -> float:
        """Duration of training all runs on this machine alone, on free cores.

        Runs start seed by seed, as in `runs_of`, each once there is room for it.
        """
        ends = [0.0] * self.processes
        for _ in self.seeds:
            for minutes in self.minutes.values():
                heapreplace(ends, ends[0] + minutes)
        return max(ends)

    def lines(self) -> Iterator[str]:
        """Yield the estimate as lines of text."""
        width = max(map(len, self.steps))
        yield f"{len(self.steps) * len(self.seeds)} runs: {len(self.steps)} rows x {len(self.seeds)} seeds"
        for row, steps in self.steps.items():
            yield f"  {row:<{width}}  {steps:>8,} steps  {self.minutes[row]:>7.1f} minutes a run"
        yield (
            f"training takes about {self.total_minutes:,.0f} minutes with {self.processes} at once on free cores;"
            " reading the data and measuring come to that"
        )

    def to_json(self) -> str:
        """Return the estimate as JSON."""
        return json.dumps({**asdict(self), "total_minutes": self.total_minutes}, indent=1)


def estimate(settings: AblationSettings) -> Estimate:
    """Take a few steps of every row in this process and one thread, and write nothing.

    Steps of equal processor time are those of the folder where it has them, else they follow from these few steps.
    Errors as of `ablate`.
    """
    in_one_thread()
    plan = plan_of(settings, recipe_of(settings.recipe))
    check_data(plan, settings.split)
    seconds = seconds_per_step(plan, _ROUNDS)
    match settings.equal:
        case "steps":
            steps = plan.equal_steps()
        case "processor-time":
            steps = AblationFolder(settings.out).read_steps(plan) or equal_steps(plan, seconds)
        case unknown:
            assert_never(unknown)
    return Estimate(
        seeds=settings.seed_list,
        steps=steps,
        minutes={row: number * seconds[row] / 60 for row, number in steps.items()},
        processes=settings.processes or usable_cores(),
    )
