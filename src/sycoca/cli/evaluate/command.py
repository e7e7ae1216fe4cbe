"""``sycoca evaluate``: measure a model by an official protocol."""

import inspect
from typing import Any

from sycoca.cli.shared.tasks import task_name
from sycoca.evaluation.tasks.registry import TASKS, task_class

ALL = "all"

_LISTED = {**TASKS, ALL: "several of these from one file; the model is loaded once, images are embedded once"}


def run(arguments: list[str]) -> int:
    """Evaluate and show the report."""
    name = task_name("evaluate", _LISTED, arguments)
    if name is None:
        return 0
    import tyro

    from sycoca.cli.evaluate.all import Arguments
    from sycoca.cli.evaluate.arguments import EvaluationArguments

    kind = Arguments if name == ALL else EvaluationArguments[task_class(name)]
    described = Arguments if name == ALL else task_class(name)
    parsed: Any = tyro.cli(
        kind,
        prog=f"sycoca evaluate {name}",
        description=inspect.getdoc(described),
        args=arguments[1:],
        config=(tyro.conf.OmitArgPrefixes,),
    )
    parsed.show(parsed.report())
    return 0
