"""What several evaluations of one command share: models, data and embeddings are opened once."""

from typing import TYPE_CHECKING, final

from sycoca.cli.shared.model_arguments import ModelArguments

if TYPE_CHECKING:
    from sycoca.data.samples import SampleSource
    from sycoca.evaluation.embeddings import ImageEmbeddings
    from sycoca.inference.predictor import Predictor


@final
class EvaluationContext:
    """Opens weights and SPECs, and gives the same object for the same question."""

    def __init__(self) -> None:
        self._predictors: dict[tuple[str, str, str], Predictor] = {}
        self._sources: dict[str, SampleSource] = {}
        self._usable: dict[tuple[str, float, int | None], SampleSource] = {}
        self._embeddings: dict[tuple[str, str, str], ImageEmbeddings] = {}

    def predictor(self, weights: str, model: ModelArguments) -> "Predictor":
        """Open a weights folder."""
        place = _place(weights, model)
        if place not in self._predictors:
            self._predictors[place] = model.load(weights)
        return self._predictors[place]

    def embeddings(self, weights: str, model: ModelArguments) -> "ImageEmbeddings":
        """Return the image embeddings of a model, which know what they have computed."""
        from rich.console import Console

        from sycoca.evaluation.embeddings import ImageEmbeddings

        place = _place(weights, model)
        if place not in self._embeddings:
            self._embeddings[place] = ImageEmbeddings(
                self.predictor(weights, model), batch_size=model.batch_size, console=Console(stderr=True)
            )
        return self._embeddings[place]

    def source(self, spec: str) -> "SampleSource":
        """Open a SPEC; the first image that cannot be read will be an error."""
        from sycoca.data.spec import open_source

        if spec not in self._sources:
            self._sources[spec] = open_source(spec)
        return self._sources[spec]

    def usable_source(self, spec: str, max_skipped_ratio: float, limit: int | None) -> "SampleSource":
        """Open a SPEC. Where samples may be left out, those with unreadable images are, each counted."""
        from sycoca.data.loading.skipping import SkipLog

        source = self.source(spec)
        if max_skipped_ratio == 0:
            SkipLog(source, max_skipped_ratio)  # what the source itself has left out is an error, too
            return source
        place = spec, max_skipped_ratio, limit
        if place not in self._usable:
            self._usable[place] = _readable(source, max_skipped_ratio, limit)
        return self._usable[place]


def _place(weights: str, model: ModelArguments) -> tuple[str, str, str]:
    """Return what makes a model another one; the size of batches does not."""
    return weights, model.device, model.precision


def _readable(source: "SampleSource", max_skipped_ratio: float, limit: int | None) -> "SampleSource":
    from rich.console import Console

    from sycoca.data.loading.skipping import SkipLog, UsableSamples, image_problems
    from sycoca.evaluation.batches import num_evaluated
    from sycoca.inference.progress import tracked

    log = SkipLog(source, max_skipped_ratio)
    console, num_samples = Console(stderr=True), num_evaluated(source, limit)
    problems = tracked(image_problems(source, range(num_samples)), num_samples, "checking images", console=console)
    return UsableSamples(source, log, problems)
