"""``sycoca evaluate all``."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from sycoca.inference.model_options import ModelOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from sycoca.evaluation.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Run several evaluations of one model, which a YAML file lists.

    Each section is an evaluation: its name is the task, its entries are the options of sycoca evaluate TASK with
    underscores, such as "re_rank". A section of another name states its "task". Models and data are loaded once, images
    are embedded once. examples/evaluate_all.yaml in the repository is an example.
    """

    weights: Positional[str]
    """A weights folder, or hf:owner/name[@revision] on the Hugging Face Hub. A section may have "weights" of its own,
    fine-tuned for its task."""

    tasks: Annotated[Path, arg(metavar="FILE.yaml")]
    """The list of evaluations."""

    out: Annotated[Path, arg(metavar="FOLDER")]
    """The folder to write SECTION.json (for sycoca compare) and summary.json to."""

    overwrite: bool = False
    """Replace reports and predictions that exist."""

    json: bool = False
    """Print the summary as JSON instead of a table."""

    model: ModelOptions = field(default_factory=ModelOptions)
    """Device and precision."""

    def run(self) -> int:
        """Evaluate, and print the summary."""
        self.show(self.report())
        return 0

    def report(self) -> "dict[str, Report]":
        """Evaluate section by section, see `evaluate_all`."""
        from sycoca.cli.shared.logs import stderr_console
        from sycoca.evaluation.evaluate_all import evaluate_all

        return evaluate_all(
            self.weights,
            self.tasks,
            out=self.out,
            overwrite=self.overwrite,
            model=self.model,
            console=stderr_console(),
        )

    def show(self, reports: "Mapping[str, Report]") -> None:
        """Print the summary."""
        from rich.console import Console

        from sycoca.cli.shared.results import counted, tell
        from sycoca.evaluation.evaluate_all import SUMMARY, summary_json
        from sycoca.terminal import show_table

        if self.json:
            print(summary_json(reports))
        else:
            show_table(Console(), _table(reports))
        tell(f"{counted(len(reports), 'report')} and {SUMMARY}", self.out)


def _table(reports: "Mapping[str, Report]") -> "Table":
    from rich.table import Table

    from sycoca.facts.metric_facts import readable
    from sycoca.terminal import plain

    table = Table()
    table.add_column("evaluation")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, report in reports.items():
        for number, (metric, value) in enumerate(report.metrics.items()):
            table.add_row(plain(name if number == 0 else ""), plain(metric), readable(metric, value))
        table.add_section()
    return table
