"""``sycoca evaluate hard-negatives``."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from sycoca.evaluation.tasks.inputs import OpenSources, TaskInputs
from sycoca.evaluation.tasks.task import EvaluationTask

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Task(EvaluationTask):
    """Hard-negative benchmarks from their own files: SugarCrepe, ARO, Winoground, POPE.

    By cosine of the contrastive towers and by likelihood of the captioner, each beside chance and beside what the model
    prefers when it is shown a blank image: a language model that sees nothing solves much of ARO.
    """

    data: Annotated[str, arg(metavar="NAME:FILE")]
    """The benchmark and its file, or a folder of its files: sugarcrepe:replace_obj.json,
    aro:visual_genome_relation.json, winoground:examples.jsonl, pope:coco_pope_random.json."""

    images: Annotated[Path, arg(metavar="FOLDER")]
    """The folder or zip file of the images that the file names."""

    def open_data(self, sources: OpenSources) -> None:  # noqa: ARG002 (a benchmark is no source of samples)
        """Read the benchmark."""
        from sycoca.data.benchmarks.benchmark import open_benchmark

        open_benchmark(self.data, self.images)

    def evaluate(self, inputs: TaskInputs) -> "Report":
        """Let the model choose."""
        from sycoca.data.benchmarks.benchmark import open_benchmark
        from sycoca.evaluation.hard_negatives.evaluate import evaluate_hard_negatives

        return evaluate_hard_negatives(
            inputs.predictor,
            open_benchmark(self.data, self.images),
            self.data,
            max_skipped_ratio=self.max_skipped_ratio,
            **inputs.settings(self.limit),
        )
