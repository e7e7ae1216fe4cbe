"""``sycoca ablate``: the paper's tables, or rows of your own, with seeds and intervals."""

import sys
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from sycoca.cli.shared.usage import UsageError
from sycoca.experiments.ablation.settings import AblationSettings

if TYPE_CHECKING:
    from sycoca.experiments.ablation.ablate import AblationResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments(AblationSettings):
    """Train every row of a table with several seeds, and compare the rows with intervals over seeds.

    The tables are the paper's: objectives (and masking), mask-ratios, mim-weight; RECIPE.yaml has rows of your own.
    Each run is a process with one thread. Stopped with Ctrl-C or killed, the same command resumes; started on several
    machines that share DIR, it spreads over them. DIR gets a JSON file per run, and table.md, .json, .html and .svg.
    """

    table: bool = False
    """Train nothing: analyze the results that DIR has, finished or not."""

    baseline: Annotated[str | None, arg(metavar="ROW")] = None
    """With --table: compare with this row in place of the recipe's baseline. Nothing is written."""

    dry_run: bool = False
    """Train nothing: print rows, seeds, steps and an estimate of the time."""

    json: bool = False
    """Print the analysis, or the estimate, as JSON instead of a table."""

    def __post_init__(self) -> None:
        try:
            AblationSettings.__post_init__(self)
        except ValueError as error:
            raise UsageError(str(error)) from error
        if self.table and self.dry_run:
            raise UsageError("give --table or --dry-run, not both")
        if self.baseline is not None and not self.table:
            raise UsageError("--baseline compares what a folder has: give --table, too, or a baseline in RECIPE.yaml")

    def run(self) -> int:
        """Run the ablation; the table goes to stdout, progress to stderr. Return 1 where a run has failed."""
        if self.table:
            self._check_folder()
        else:
            self._check_rows()
        # Imported here, since matplotlib and PyTorch are slow: help and usage errors appear fast.
        from sycoca.cli.shared.logs import stderr_console
        from sycoca.cli.shared.results import tell
        from sycoca.experiments.ablation.ablate import ablate, compare_with, read_ablation

        if self.dry_run:
            return self._estimate()
        if self.baseline is not None:
            self._show(compare_with(self.out, self.baseline, self.recipe))
            return 0
        result = read_ablation(self.out, self.recipe) if self.table else ablate(self, console=stderr_console())
        self._show(result)
        tell("results, table.md, table.json, table.html and table.svg", self.out)
        return 1 if result.failures else 0

    def _check_rows(self) -> None:
        """Raise UsageError for a table or recipe that cannot be read, and for fields that no configuration has."""
        from sycoca.experiments.ablation.plan import plan_of
        from sycoca.experiments.ablation.recipe import recipe_of

        try:
            plan_of(self, recipe_of(self.recipe))
        except ValueError as error:
            raise UsageError(str(error)) from error

    def _check_folder(self) -> None:
        """Raise UsageError for flags that contradict the folder: --table shows what it has, and ignores none."""
        from sycoca.experiments.ablation.plan import read_plan

        plan = read_plan(self.out)
        given = {one.name for one in fields(AblationSettings) if getattr(self, one.name) != one.default}
        names_data = "split" in given or self.data.test is not None
        asked = {
            "setting": (self.setting if "setting" in given else None, plan.setting),
            "steps": (self.steps, plan.base.training.steps),
            "split, --test and --validation": (
                replace(self, setting=plan.setting).measured_on if names_data else None,
                plan.measured_on,
            ),
        }
        for name, (own, found) in asked.items():
            if own not in (None, found):
                raise UsageError(f"--table shows what {self.out} has, {found}, not {own}: leave --{name} out")

    def _estimate(self) -> int:
        from sycoca.experiments.ablation.estimate import estimate
        from sycoca.terminal import line_width, wrapped

        found = estimate(self)
        print(found.to_json() if self.json else wrapped("\n".join(found.lines()), line_width(sys.stdout)))
        return 0

    def _show(self, result: "AblationResult") -> None:
        from rich.console import Console

        from sycoca.cli.shared.usage import print_error
        from sycoca.experiments.ablation.table_text import explanations, terminal_table
        from sycoca.terminal import say, show_table

        if self.json:
            print(result.to_json())
        else:
            console = Console()
            for analysis in result.analyses:
                show_table(console, terminal_table(analysis))
            for line in explanations(result.analyses[0]):
                say(console, line, style="dim", width=console.width)
        for failure in result.failures:
            print_error(f"sycoca ablate: {failure.run.name} failed: {failure.reason}")
