"""Image embeddings of a source, computed once and shared by evaluations."""

from typing import assert_never, final

import torch
from jaxtyping import Float
from rich.console import Console
from torch import Tensor

from sycoca.data.samples import SampleSource
from sycoca.evaluation.batches import sample_batches
from sycoca.evaluation.embedded import EmbeddingKind
from sycoca.evaluation.sharding import ALONE, Sharding
from sycoca.inference.predictor import Predictor


@final
class ImageEmbeddings:
    """Embeddings and features of the images of sources; each source goes through the image encoder once, for both.

    They are valid for the predictor's current weights: after a step of training create a new object.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        batch_size: int = 64,
        console: Console | None = None,
        sharding: Sharding = ALONE,
    ) -> None:
        self.predictor = predictor
        self._batch_size = batch_size
        self._console = console
        self._sharding = sharding
        # The sources are stored, too: an id is unique only among live objects.
        self._known: dict[int, tuple[SampleSource, Float[Tensor, "samples columns"]]] = {}

    def of(
        self, source: SampleSource, num_samples: int, kind: EmbeddingKind = "embedding"
    ) -> Float[Tensor, "samples columns"]:
        """Return one row for each of the first samples, float32 on the CPU; the same on every process."""
        known = self._known.get(id(source))
        if known is None or len(known[1]) < num_samples:
            known = self._known[id(source)] = (source, self._compute(source, num_samples))
        embed_dim = self.predictor.model.config.embed_dim
        rows = known[1][:num_samples]
        match kind:
            case "embedding":
                return rows[:, :embed_dim]
            case "features":
                return rows[:, embed_dim:]
            case unknown:
                assert_never(unknown)

    def _compute(self, source: SampleSource, num_samples: int) -> Float[Tensor, "samples columns"]:
        config = self.predictor.model.config
        parts = []
        for samples in sample_batches(
            source, num_samples, self._batch_size, "embedding images", console=self._console, sharding=self._sharding
        ):
            vectors = self.predictor.image_vectors(samples, batch_size=self._batch_size)
            parts.append(torch.cat([vectors.embeddings, vectors.features], dim=1))
        return self._sharding.join(parts, config.embed_dim + config.image_encoder.output_width)
