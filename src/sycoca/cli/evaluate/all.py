"""``sycoca evaluate all``."""

import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_type_hints

from tyro.conf import Positional

from sycoca.cli.evaluate.arguments import EvaluationArguments
from sycoca.cli.evaluate.context import EvaluationContext
from sycoca.cli.shared.model_arguments import ModelArguments
from sycoca.plain_data import Plain, did_you_mean, from_plain, read_yaml, to_plain, write_text

if TYPE_CHECKING:
    from rich.table import Table

    from sycoca.evaluation.report import Report

_SET_HERE = ("out", "json", "context")
"""Fields of a task's arguments that are not for its section."""


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

    model: ModelArguments = field(default_factory=ModelArguments)
    """On what it runs."""

    def report(self) -> "dict[str, Report]":
        """Evaluate section by section; every report is written as soon as it is there.

        Raises ValueError before anything runs: for a file that is wrong anywhere, and for data or weights that are not
        there.
        """
        sections = self.sections()
        for name, arguments in sections.items():
            with _named(name):
                arguments.prepare()
        if self.out.exists() and not self.out.is_dir():
            raise ValueError(f"--out {self.out} is a file; name a folder for the reports")
        reports: dict[str, Report] = {}
        for number, (name, arguments) in enumerate(sections.items(), start=1):
            print(f"{name} ({number} of {len(sections)})", file=sys.stderr)
            with _named(name):
                reports[name] = arguments.report()
            reports[name].save(self.out / f"{name}.json")
        return reports

    def sections(self) -> dict[str, EvaluationArguments]:
        """Return each section's arguments. Raises ValueError that names what is wrong in the file."""
        plain = read_yaml(self.tasks)
        if not isinstance(plain, Mapping) or not plain:
            raise ValueError(f"{self.tasks} must have a section per evaluation, such as retrieval: {{data: SPEC}}")
        context = EvaluationContext()
        return {str(name): self._arguments(str(name), section, context) for name, section in plain.items()}

    def show(self, reports: "Mapping[str, Report]") -> None:
        """Write the summary, and print it."""
        summary = {"task": "all", "reports": {name: json.loads(report.to_json()) for name, report in reports.items()}}
        text = json.dumps(summary, indent=2, allow_nan=False)
        write_text(self.out / "summary.json", text + "\n")
        print(f"reports in {self.out}", file=sys.stderr)
        if self.json:
            print(text)
        else:
            from rich.console import Console

            Console().print(_table(reports))

    def _arguments(self, name: str, section: object, context: EvaluationContext) -> EvaluationArguments:
        where = f"{self.tasks}: {name}"
        if not isinstance(section, Mapping):
            raise ValueError(f"{where} must be a mapping of options to values, such as {{data: SPEC}}")
        if "/" in name or name == "summary":
            raise ValueError(f"{where} cannot be the name of a section: its report is called so")
        for key in _SET_HERE:
            if key in section:
                raise ValueError(f"{where}.{key} is no option of a section")
        task_arguments = _class_of(str(section.get("task", name)), where)
        given = {str(key): value for key, value in section.items() if key != "task"}
        known = _options_of(task_arguments)
        for key in given:
            if key not in known:
                raise ValueError(f"{where}.{key} is not a known key{did_you_mean(key, known)}")
        options = {"weights": self.weights, "model": to_plain(self.model)} | _grouped(task_arguments, given)
        options["model"] = {**to_plain(self.model), **options["model"]}
        return replace(from_plain(task_arguments, options, where), context=context)


def _groups(task_arguments: type[EvaluationArguments]) -> dict[str, list[str]]:
    """Return by name the options of each group, which the command line shows as options among others."""
    return {
        name: [field.name for field in fields(hint)]
        for name, hint in get_type_hints(task_arguments).items()
        if is_dataclass(hint)
    }


def _options_of(task_arguments: type[EvaluationArguments]) -> list[str]:
    groups = _groups(task_arguments)
    plain = [field.name for field in fields(task_arguments) if field.name not in {*groups, *_SET_HERE}]
    return [*plain, *(name for members in groups.values() for name in members), *groups]


def _grouped(task_arguments: type[EvaluationArguments], options: Plain) -> Plain:
    """Put options where the arguments have them."""
    groups = _groups(task_arguments)
    found: Plain = {}
    for key, value in options.items():
        group = next((name for name, members in groups.items() if key in members), None)
        if group is None:
            found[key] = value
        else:
            found[group] = {**found.get(group, {}), key: value}
    return found


@contextmanager
def _named(section: str) -> Iterator[None]:
    """Say in which section an error came up."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{section}: {error}") from error


def _class_of(task: str, where: str) -> type[EvaluationArguments]:
    from sycoca.cli.evaluate.command import TASKS

    known = [other for other in TASKS if other != "all"]
    if task not in known:
        raise ValueError(f"{where}: there is no task {task!r}{did_you_mean(task, known)}")
    return importlib.import_module(f"sycoca.cli.evaluate.{task.replace('-', '_')}").Arguments


def _table(reports: "Mapping[str, Report]") -> "Table":
    from rich.table import Table

    from sycoca.evaluation.report import readable

    table = Table()
    table.add_column("evaluation")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, report in reports.items():
        for place, (metric, value) in enumerate(report.metrics.items()):
            table.add_row(name if place == 0 else "", metric, readable(metric, value))
        table.add_section()
    return table
