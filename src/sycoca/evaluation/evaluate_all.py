"""Several evaluations in one call: models are loaded once, data is opened once, images are embedded once."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sycoca.data.named_inputs import named_inputs
from sycoca.evaluation.sections import Section, Sections, read_sections
from sycoca.evaluation.tasks.inputs import OpenSources, SharedModel, TaskInputs
from sycoca.evaluation.tasks.task import EvaluationTask
from sycoca.inference.model_options import ModelOptions
from sycoca.keywords import suggests_keywords
from sycoca.outputs.output import Output, claimed
from sycoca.plain_data import write_text

if TYPE_CHECKING:
    from rich.console import Console

    from sycoca.evaluation.report import Report
    from sycoca.inference.predictor import Predictor

logger = logging.getLogger(__name__)

SUMMARY = "summary.json"
"""The file of all reports together."""


@suggests_keywords
def evaluate_all(
    weights: "str | Path | Predictor",
    tasks: Sections | str | Path,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    model: ModelOptions | None = None,
    console: "Console | None" = None,
) -> "dict[str, Report]":
    """Evaluate a model on several tasks and return the reports by the names of their sections.

    ``weights``: a weights folder, ``hf:owner/name[@revision]``, or a loaded `Predictor`. ``tasks``: a section per
    evaluation, as a mapping or a YAML file of one. A section is named after its task, or says its ``"task"``; its
    options are those of ``sycoca evaluate TASK`` with underscores: ``{"retrieval": {"data": "coco.json", "re_rank":
    16}}``. It may name ``"weights"`` of its own. ``out``: a folder that gets SECTION.json as soon as a report is there,
    and summary.json at the end. ``overwrite``: replace reports and predictions that are there already. ``model``:
    device, precision and batch size. ``console``: where progress bars are shown; None shows none, except in a notebook.

    Raises OutputError (a ValueError) before anything runs where a report is there already or cannot be written, or
    another process writes it; ValueError, before anything runs too, where a section is wrong, data or weights are
    missing, or a model cannot do its task; and where an evaluation fails, which keeps the reports written before.
    """
    sections = read_sections(tasks, weights, ModelOptions() if model is None else model)
    folder = None if out is None else Path(out)
    with claimed(*_outputs(folder, sections, named_inputs(tasks), overwrite=overwrite)):
        inputs = _open(sections, console)
        reports: dict[str, Report] = {}
        for number, (name, section) in enumerate(sections.items(), start=1):
            logger.info("%s (%d of %d)", name, number, len(sections))
            with _naming(name):
                reports[name] = _report(section, inputs[name])
            if folder is not None:
                (folder / SUMMARY).unlink(missing_ok=True)  # that of earlier reports, should this call be stopped
                reports[name].save(folder / f"{name}.json")
        if folder is not None:
            write_text(folder / SUMMARY, summary_json(reports) + "\n")
    return reports


@suggests_keywords
def evaluate_task(
    weights: "str | Path | Predictor",
    task: EvaluationTask,
    *,
    overwrite: bool = False,
    model: ModelOptions | None = None,
    console: "Console | None" = None,
) -> "Report":
    """Evaluate a model on one task and return the report; arguments and errors as in `evaluate_all`."""
    section = Section(task=task, weights=weights, model=ModelOptions() if model is None else model)
    sources, batch_size = OpenSources(console), section.model.batch_size
    with claimed(_predictions(section, overwrite=overwrite)):
        task.open_data(sources)
        predictor = section.load()
        task.check_model(predictor)
        shared = SharedModel(predictor, batch_size=batch_size, console=console)
        return _report(section, TaskInputs(model=shared, sources=sources, batch_size=batch_size, console=console))


def summary_json(reports: "Mapping[str, Report]") -> str:
    """Return all reports as one JSON text, without their items."""
    summary = {"task": "all", "reports": {name: report.to_plain() for name, report in reports.items()}}
    return json.dumps(summary, indent=2, allow_nan=False)


def _report(section: Section, inputs: TaskInputs) -> "Report":
    """Evaluate, and name the model in the report and beside the predictions."""
    from sycoca.inference.provenance import provenance_of, with_provenance

    task, path = section.task, section.task.predictions_file
    provenance = provenance_of(section.weights, inputs.predictor)
    with nullcontext() if path is None else with_provenance(path, provenance):
        report = task.evaluate(inputs)
    return replace(report, settings={**provenance.model(), **report.settings})


def _outputs(
    folder: Path | None, sections: Mapping[str, Section], tasks: tuple[Path, ...], *, overwrite: bool
) -> Iterator[Output | None]:
    if folder is not None:
        names = [*(f"{name}.json" for name in sections), SUMMARY]
        inputs = (*tasks, *(path for section in sections.values() for path in section.inputs))
        yield Output(path=folder, kind="files in a folder", names=names, inputs=inputs, overwrite=overwrite)
    for section in sections.values():
        yield _predictions(section, overwrite=overwrite)


def _predictions(section: Section, *, overwrite: bool) -> Output | None:
    path = section.task.predictions_file
    return None if path is None else Output(path=path, inputs=section.inputs, overwrite=overwrite)


def _open(sections: Mapping[str, Section], console: "Console | None") -> dict[str, TaskInputs]:
    """Open all data, then load all models, each once. Raises ValueError that names the section."""
    sources, models = OpenSources(console), dict[tuple[object, ...], SharedModel]()
    for name, section in sections.items():
        with _naming(name):
            section.task.open_data(sources)
    inputs = {}
    for name, section in sections.items():
        key, batch_size = section.model_key(), section.model.batch_size
        with _naming(name):
            if key not in models:
                models[key] = SharedModel(section.load(), batch_size=batch_size, console=console)
            section.task.check_model(models[key].predictor)
        inputs[name] = TaskInputs(model=models[key], sources=sources, batch_size=batch_size, console=console)
    return inputs


@contextmanager
def _naming(section: str) -> Iterator[None]:
    """Say in which section an error came up."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{section}: {error}") from error
