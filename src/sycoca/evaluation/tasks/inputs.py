"""What evaluations share: each data source is opened once, and the images of each are embedded once per model."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypedDict, final

if TYPE_CHECKING:
    from rich.console import Console

    from sycoca.data.samples import SampleSource
    from sycoca.evaluation.embeddings import ImageEmbeddings
    from sycoca.inference.predictor import Predictor


@final
class OpenSources:
    """Opens data SPECs; the same SPEC gives the same source, so that embeddings of its images can be shared."""

    def __init__(self, console: "Console | None" = None) -> None:
        self._console = console
        self._sources: dict[str, SampleSource] = {}
        self._usable: dict[tuple[str, float, int | None], SampleSource] = {}

    def source(self, spec: str) -> "SampleSource":
        """Open a SPEC. Raises ValueError where it is wrong or its file is missing."""
        from sycoca.data.spec import open_source

        if spec not in self._sources:
            self._sources[spec] = open_source(spec)
        return self._sources[spec]

    def usable(self, spec: str, max_skipped_ratio: float, limit: int | None) -> "SampleSource":
        """Open a SPEC without the samples that cannot be read, see `usable_source`."""
        from sycoca.data.loading.skipping import usable_source
        from sycoca.evaluation.batches import num_evaluated

        key = spec, max_skipped_ratio, limit
        if key not in self._usable:
            source = self.source(spec)
            num_samples = num_evaluated(source, limit)
            self._usable[key] = usable_source(source, max_skipped_ratio, limit=num_samples, console=self._console)
        return self._usable[key]


class EvaluationSettings(TypedDict):
    """The keywords that every ``evaluate_...`` function has."""

    batch_size: int
    limit: int | None
    console: "Console | None"


@final
class SharedModel:
    """A loaded model with the image embeddings that its evaluations share."""

    def __init__(self, predictor: "Predictor", *, batch_size: int, console: "Console | None" = None) -> None:
        self.predictor = predictor
        self._batch_size = batch_size
        self._console = console

    @cached_property
    def embeddings(self) -> "ImageEmbeddings":
        """The image embeddings, computed when an evaluation first asks for those of a source."""
        from sycoca.evaluation.embeddings import ImageEmbeddings

        return ImageEmbeddings(self.predictor, batch_size=self._batch_size, console=self._console)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskInputs:
    """What one evaluation runs on."""

    model: SharedModel
    """The model, shared with other evaluations."""

    sources: OpenSources = field(default_factory=OpenSources)
    """The data, shared with other evaluations."""

    batch_size: int = 64
    """Images that go through the model at once."""

    console: "Console | None" = None
    """Where progress bars are shown; None shows none."""

    @property
    def predictor(self) -> "Predictor":
        """The model."""
        return self.model.predictor

    def settings(self, limit: int | None) -> EvaluationSettings:
        """Return the keywords that every ``evaluate_...`` function has."""
        return {"batch_size": self.batch_size, "limit": limit, "console": self.console}
