"""``sycoca evaluate all``."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from sycoca.inference.model_options import ModelOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from sycoca.evaluation.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Several evaluations of one model, from one file.

    The file has a section per evaluation, named after its task; in it stand the task's options as they are called on
    the command line, with underscores ("data", "re_rank"). A section of another name says its "task". Models and data
    are opened once, images are embedded once. examples/evaluate_all.yaml in the repository shows it.
    """

    weights: Positional[str]
    """A weights folder, or hf:owner/name[@revision] at the Hugging Face Hub; a section may name others, "weights", such
    as those that were fine-tuned for its task."""

    tasks: Path
    """The YAML file."""

    out: Path
    """A folder: SECTION.json for each report (for sycoca compare), and summary.json."""

    json: bool = False
    """Print the summary as JSON instead of a table."""

    model: ModelOptions = field(default_factory=ModelOptions)
    """On what it runs."""

    def run(self) -> int:
        """Evaluate, and print the summary."""
        self.show(self.report())
        return 0

    def report(self) -> "dict[str, Report]":
        """Evaluate section by section, see `evaluate_all`."""
        from sycoca.cli.shared.logs import stderr_console
        from sycoca.evaluation.evaluate_all import evaluate_all

        return evaluate_all(self.weights, self.tasks, out=self.out, model=self.model, console=stderr_console())

    def show(self, reports: "Mapping[str, Report]") -> None:
        """Print the summary."""
        from rich.console import Console

        from sycoca.evaluation.evaluate_all import summary_json

        if self.json:
            print(summary_json(reports))
        else:
            Console().print(_table(reports))


def _table(reports: "Mapping[str, Report]") -> "Table":
    from rich.table import Table

    from sycoca.facts.metric_facts import readable

    table = Table()
    table.add_column("evaluation")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, report in reports.items():
        for number, (metric, value) in enumerate(report.metrics.items()):
            table.add_row(name if number == 0 else "", metric, readable(metric, value))
        table.add_section()
    return table
