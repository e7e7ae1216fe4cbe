"""Options of every command that writes a report."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from sycoca.outputs.output import Output, claimed

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportArguments(ABC):
    """The output of a report."""

    out: Annotated[Path | None, arg(metavar="FILE.json")] = None
    """Write the report to this JSON file, with the results of every item (for sycoca compare)."""

    overwrite: bool = False
    """Replace files that exist."""

    json: bool = False
    """Print the report as JSON instead of a table."""

    def run(self) -> int:
        """Compute the report, and save or print it."""
        output = None if self.out is None else Output(path=self.out, inputs=self.inputs(), overwrite=self.overwrite)
        with claimed(output):
            self.show(self.report())
        return 0

    def inputs(self) -> tuple[Path, ...]:
        """Return the files and folders that the options name, but for those that are written."""
        from sycoca.data.named_inputs import inputs_of

        return inputs_of(self, "out")

    @abstractmethod
    def report(self) -> "Report":
        """Compute the report."""

    def show(self, report: "Report") -> None:
        """Save or print a report; nothing else is printed on stdout."""
        from sycoca.cli.shared.results import tell

        if self.out is not None:
            report.save(self.out)
        if self.json:
            print(report.to_json())
        elif self.out is None:
            from rich.console import Console

            from sycoca.terminal import show_table

            show_table(Console(), report.table())
        if self.out is not None:
            tell("report", self.out)
