"""The options of every command that ends with a report."""

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportArguments(ABC):
    """Where a report goes."""

    out: Path | None = None
    """Write the report to this file as JSON, with what every item contributed (for sycoca compare)."""

    json: bool = False
    """Print the report as JSON instead of a table."""

    @abstractmethod
    def report(self) -> "Report":
        """Do what was asked for."""

    def show(self, report: "Report") -> None:
        """Save or print a report; stdout has the report and nothing else."""
        if self.out is not None:
            report.save(self.out)
            print(f"report in {self.out}", file=sys.stderr)
        if self.json:
            print(report.to_json())
        elif self.out is None:
            from rich.console import Console

            Console().print(report.table())
