"""``sycoca evaluate``: measure a model by an official protocol."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import Positional

from sycoca.cli.model_arguments import ModelArguments
from sycoca.inference.generation_config import GenerationConfig

if TYPE_CHECKING:
    from sycoca.data.samples import SampleSource
    from sycoca.evaluation.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class CommonArguments:
    """What every evaluation takes."""

    weights: Positional[str]
    """A weights folder."""

    data: str
    """Data as a SPEC: a path, or kind:path?option=value."""

    limit: int | None = None
    """Evaluate the first so many samples; None takes all."""

    out: Path | None = None
    """Write the report to this file as JSON."""

    json: bool = False
    """Print the report as JSON instead of a table."""

    model: ModelArguments = field(default_factory=ModelArguments)
    """On what it runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrievalArguments:
    """Image-text retrieval in both directions: recall at 1, 5 and 10, ranks."""

    common: CommonArguments
    """What every evaluation takes."""

    captions_per_image: int | None = None
    """Take the first so many captions of each image (5 is COCO's convention); None takes all."""

    max_skipped_ratio: float = 0.0
    """Largest share of the samples that may be left out because they cannot be used; the report counts them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GroundingArguments:
    """Patch scores against the pixels that captions describe (built-in scenes)."""

    common: CommonArguments
    """What every evaluation takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneCaptionsArguments:
    """Truth and detail of generated captions (built-in scenes)."""

    common: CommonArguments
    """What every evaluation takes."""

    generation: GenerationConfig = field(default_factory=GenerationConfig)
    """How captions are generated."""


Task = (
    Annotated[RetrievalArguments, tyro.conf.subcommand("retrieval")]
    | Annotated[GroundingArguments, tyro.conf.subcommand("grounding")]
    | Annotated[SceneCaptionsArguments, tyro.conf.subcommand("scene-captions")]
)


def run(arguments: list[str]) -> int:
    """Evaluate and show the report; stdout has the report and nothing else."""
    task: Any = tyro.cli(
        Task,  # pyright: ignore[reportArgumentType]
        prog="sycoca evaluate",
        description="Measure a model by an official protocol.",
        args=arguments,
        config=(tyro.conf.OmitArgPrefixes,),
    )
    report = _evaluate(task)
    if task.common.out is not None:
        report.save(task.common.out)
        print(f"report in {task.common.out}", file=sys.stderr)
    if task.common.json:
        print(report.to_json())
    elif task.common.out is None:
        from rich.console import Console

        Console().print(report.table())
    return 0


def _evaluate(task: RetrievalArguments | GroundingArguments | SceneCaptionsArguments) -> "Report":
    from rich.console import Console

    from sycoca.data.scenes import ScenesSource
    from sycoca.data.spec import open_source
    from sycoca.evaluation.grounding import evaluate_grounding
    from sycoca.evaluation.retrieval import evaluate_retrieval
    from sycoca.evaluation.scene_captions import evaluate_scene_captions

    common = task.common
    source = open_source(common.data)
    predictor = common.model.load(common.weights)
    settings = {"batch_size": common.model.batch_size, "limit": common.limit, "console": Console(stderr=True)}
    match task:
        case RetrievalArguments():
            usable = _usable(source, task.max_skipped_ratio, common.limit)
            return evaluate_retrieval(predictor, usable, captions_per_image=task.captions_per_image, **settings)
        case GroundingArguments():
            return evaluate_grounding(predictor, source, **settings)
        case SceneCaptionsArguments():
            if not isinstance(source, ScenesSource):
                raise ValueError(f"{common.data} is not made of scenes; give --data 'scenes:?split=test'")
            return evaluate_scene_captions(predictor, source, generation=task.generation, **settings)


def _usable(source: "SampleSource", max_skipped_ratio: float, limit: int | None) -> "SampleSource":
    """Return the samples that can be used. Where none may be left out, reading them in vain is the error."""
    from rich.console import Console

    from sycoca.data.skipping import SkipLog, UsableSamples, image_problems
    from sycoca.evaluation.batches import num_evaluated
    from sycoca.inference.progress import tracked

    log = SkipLog(source, max_skipped_ratio)
    if max_skipped_ratio == 0:
        return source
    problems = tracked(
        image_problems(source, limit), num_evaluated(source, limit), "checking images", console=Console(stderr=True)
    )
    return UsableSamples(source, log, problems)
