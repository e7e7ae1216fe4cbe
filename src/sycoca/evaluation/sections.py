"""Evaluations as sections of a file: options by name, turned into tasks and models with every mistake named."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, get_type_hints

from sycoca.data.named_inputs import inputs_of, named_inputs
from sycoca.evaluation.tasks.registry import TASKS, task_class
from sycoca.evaluation.tasks.task import EvaluationTask
from sycoca.inference.model_options import ModelOptions
from sycoca.plain_data import Plain, did_you_mean, from_plain, read_yaml, to_plain

if TYPE_CHECKING:
    from sycoca.inference.predictor import Predictor

Sections = Mapping[str, Mapping[str, object]]
"""By name the options of every evaluation: those of ``sycoca evaluate TASK``, with underscores."""

_NOT_IN_SECTIONS = ("out", "json")
"""Options of ``sycoca evaluate TASK`` that a section cannot have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """One evaluation: a task, and the model that it measures."""

    task: EvaluationTask
    """What is measured, on which data."""

    weights: "str | Path | Predictor"
    """A weights folder, weights of the Hugging Face Hub, or a model that is loaded already."""

    model: ModelOptions
    """How the model is run."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files and folders that are read."""
        return (*named_inputs(self.weights), *inputs_of(self.task, "predictions"))

    def model_key(self) -> tuple[object, ...]:
        """Return what makes the loaded model another one; the batch size does not."""
        weights = str(self.weights) if isinstance(self.weights, str | Path) else id(self.weights)
        return weights, self.model.device, self.model.precision

    def load(self) -> "Predictor":
        """Load the model, unless it is loaded already."""
        from sycoca.inference.load import predictor_of

        return predictor_of(self.weights, self.model)


def read_sections(
    tasks: Sections | str | Path, weights: "str | Path | Predictor", model: ModelOptions
) -> dict[str, Section]:
    """Return the sections of a mapping or a YAML file; ``weights`` and ``model`` are for those that name no others.

    Raises ValueError that says where what is wrong.
    """
    if isinstance(tasks, str) and tasks in TASKS and not Path(tasks).exists():
        raise ValueError(f"{tasks!r} is a task and no file of tasks; write {{{tasks!r}: {{'data': SPEC}}}}")
    where = str(tasks) if isinstance(tasks, str | Path) else "tasks"
    plain = read_yaml(Path(tasks)) if isinstance(tasks, str | Path) else tasks
    if not isinstance(plain, Mapping) or not plain:
        raise ValueError(f"{where} must have a section per evaluation, such as retrieval: {{data: SPEC}}")
    read = partial(_section, weights=weights, model=model)
    return {str(name): read(str(name), section, f"{where}: {name}") for name, section in plain.items()}


def _section(
    name: str, options: object, where: str, *, weights: "str | Path | Predictor", model: ModelOptions
) -> Section:
    if not isinstance(options, Mapping):
        raise ValueError(f"{where} must be a mapping of options to values, such as {{data: SPEC}}")
    if "/" in name or name == "summary":
        raise ValueError(f"{where} cannot be the name of a section: reports are files of these names")
    try:
        task = task_class(str(options.get("task", name)))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    given = {str(key): value for key, value in options.items() if key not in ("task", "weights")}
    own_weights = options.get("weights", weights)
    if "weights" in options and not isinstance(own_weights, str):
        raise ValueError(f"{where}.weights must be a string, got {own_weights!r}")
    _check_keys(task, given, where)
    model_options, task_options = _parted(task, given)
    if not isinstance(own_weights, str | Path) and model_options.keys() - {"batch_size"}:
        raise ValueError(f"{where}: device and precision need weights; the given model is loaded already")
    return Section(
        task=from_plain(task, task_options, where),
        weights=own_weights,
        model=from_plain(ModelOptions, to_plain(model) | model_options, where),
    )


def _check_keys(task: type[EvaluationTask], given: Plain, where: str) -> None:
    groups = {**_groups(task), "model": _names(ModelOptions)}
    plain = [name for name in _names(task) if name not in groups]
    known = [*plain, *(name for members in groups.values() for name in members), *groups, "weights"]
    for key in given:
        if key in _NOT_IN_SECTIONS:
            raise ValueError(f"{where}.{key} is no option of a section")
        if key not in known:
            raise ValueError(f"{where}.{key} is not a known key{did_you_mean(key, known)}")


def _parted(task: type[EvaluationTask], given: Plain) -> tuple[Plain, Plain]:
    """Return the options of the model and those of the task, whose groups may be spelled out or left away."""
    model, options = dict(given.get("model") or {}), {}
    for key, value in given.items():
        group = next((name for name, members in _groups(task).items() if key in members), None)
        if key in _names(ModelOptions):
            model[key] = value
        elif group is not None:
            options[group] = {**options.get(group, {}), key: value}
        elif key != "model":
            options[key] = {**options.get(key, {}), **value} if isinstance(value, Mapping) else value
    return model, options


def _groups(task: type[EvaluationTask]) -> dict[str, list[str]]:
    """Return by name the options of each group, which the command line shows among the others."""
    return {name: _names(hint) for name, hint in get_type_hints(task).items() if is_dataclass(hint)}


def _names(options: object) -> list[str]:
    return [field.name for field in fields(options)]  # pyright: ignore[reportArgumentType]
