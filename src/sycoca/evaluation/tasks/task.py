"""What every evaluation has: options, data that it opens, a model that it asks something of."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sycoca.evaluation.tasks.inputs import OpenSources, TaskInputs

if TYPE_CHECKING:
    from sycoca.data.samples import SampleSource
    from sycoca.data.scenes.source import ScenesSource
    from sycoca.evaluation.report import Report
    from sycoca.facts.limit_facts import AbilityName
    from sycoca.inference.predictor import Predictor


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationTask(ABC):
    """The options that every evaluation has. Its steps run in order: `open_data`, `check_model`, `evaluate`."""

    data: str
    """Data as a SPEC: a path, or kind:path?option=value."""

    limit: int | None = None
    """Evaluate the first N samples only."""

    max_skipped_ratio: float = 0.0
    """Largest fraction of unusable samples to skip; the report counts them. 0 makes the first one an error."""

    @property
    def predictions_file(self) -> Path | None:
        """The file that the model's outputs are written to; None where there is none."""
        return None

    def open_data(self, sources: OpenSources) -> None:
        """Open all data and files that the options name. Raises ValueError where one is missing or wrong."""
        sources.source(self.data)

    @property
    def abilities(self) -> "tuple[AbilityName, ...]":
        """What a model must be able to do for this task; most need nothing that a model may lack."""
        return ()

    def check_model(self, predictor: "Predictor") -> None:
        """Raise ValueError where the model cannot do this task."""
        for ability in self.abilities:
            predictor.check_ability(ability)

    @abstractmethod
    def evaluate(self, inputs: TaskInputs) -> "Report":
        """Evaluate the model and return the report."""

    def source(self, inputs: TaskInputs) -> "SampleSource":
        """Return the data without the samples that cannot be read, see `usable_source`."""
        return inputs.sources.usable(self.data, self.max_skipped_ratio, self.limit)

    def scenes(self, sources: OpenSources) -> "ScenesSource":
        """Return the data, which must be built-in scenes. Raises ValueError for other data."""
        from sycoca.data.scenes.source import ScenesSource

        source = sources.source(self.data)
        if not isinstance(source, ScenesSource):
            raise ValueError(f"{self.data} is not made of scenes; give --data 'scenes:?split=test'")
        return source
