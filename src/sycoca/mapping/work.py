"""The four works: what is computed of a batch of samples, and the columns of the rows that come of it."""

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, final, runtime_checkable

import numpy as np
from PIL import Image

from sycoca.data.formats.named_images import image_path
from sycoca.data.image_arguments import open_images
from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.data.spec import open_source
from sycoca.evaluation.embedded import EMBEDDED, Embedded
from sycoca.evaluation.pair_scores import PairScore, Threshold, score_samples
from sycoca.facts.limit_facts import ABILITIES, AbilityName
from sycoca.inference.caption_set import caption_samples
from sycoca.inference.captioning import most_new_tokens
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.predictor import Predictor
from sycoca.keywords import check_type
from sycoca.mapping.settings import Verb
from sycoca.mapping.writing import Columns, Row
from sycoca.weights.config import WeightsConfig
from sycoca.weights.limits import has_part, why_missing

logger = logging.getLogger(__name__)

Data = SampleSource | str | Path
"""A source, or the SPEC of one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Samples of a block whose images could be read."""

    indices: Sequence[int]
    """Of the samples in their source."""

    samples: Sequence[ImageTextSample]

    images: Sequence[Image.Image]
    """Their images at the model's size; none for a work that needs none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkFacts:
    """What is known of a work."""

    verb: Verb
    """The word of the command."""

    columns: Columns
    """The columns of the rows, in their order."""

    needs_images: bool = True
    """Whether images are opened."""

    reads_captions: bool = True
    """Whether the model reads captions, which may be longer than its context."""

    abilities: Sequence[AbilityName]
    """What the model must be able to do."""

    generation: GenerationConfig | None = None
    """How captions are written; None where none are."""

    def check(self, config: WeightsConfig) -> None:
        """Raise ValueError where a model cannot do the work."""
        for ability in self.abilities:
            component = ABILITIES[ability].component
            if component is not None and not has_part(config.model, component):
                raise ValueError(why_missing(config, component))
        if self.generation is not None:
            most_new_tokens(self.generation, config.model.text_encoder.context_length)


@runtime_checkable
class Work(Protocol):
    """What is computed of a batch of samples. Its fields are the options that change its output."""

    @property
    def facts(self) -> WorkFacts:
        """What is known of the work."""
        ...

    def open(self, data: Data) -> SampleSource:
        """Open the source that a SPEC names; a source is returned as it is."""
        ...

    def rows(self, predictor: Predictor, batch: Batch) -> list[Row]:
        """Return the rows of a batch."""
        ...


_NAMES: Columns = {"key": "text", "image": "text"}
"""The first columns of every work: the sample's key, and the path that opens its image from anywhere."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionWork:
    """Captions that the model writes, one row per image."""

    generation: GenerationConfig

    @property
    def facts(self) -> WorkFacts:
        """A caption per image, which the text decoder writes."""
        columns: Columns = {**_NAMES, "caption": "text", "log_likelihood": "number"}
        return WorkFacts(
            verb="caption",
            columns=columns,
            reads_captions=False,
            abilities=("captions",),
            generation=self.generation,
        )

    def open(self, data: Data) -> SampleSource:
        """Open images with or without captions."""
        return open_images(data)

    def rows(self, predictor: Predictor, batch: Batch) -> list[Row]:
        """Return a caption per image; those drawn at random depend on the seed and the sample's index alone."""
        captions = caption_samples(
            predictor,
            batch.samples,
            batch.images,
            self.generation,
            indices=batch.indices,
            batch_size=len(batch.samples),
        )
        return [
            {**_names(sample), "caption": caption.caption, "log_likelihood": caption.log_likelihood}
            for sample, caption in zip(batch.samples, captions, strict=True)
        ]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class EmbedWork:
    """Embeddings of images and captions, one row per image."""

    what: Embedded = "both"

    @property
    def facts(self) -> WorkFacts:
        """The embeddings that are asked for."""
        of_images: Columns = {"image_embedding": "vector"}
        of_texts: Columns = {"captions": "texts", "text_embeddings": "vectors"}
        return WorkFacts(
            verb="embed",
            columns={
                **_NAMES,
                **(of_images if self._has("images") else {}),
                **(of_texts if self._has("texts") else {}),
            },
            needs_images=self._has("images"),
            reads_captions=self._has("texts"),
            abilities=("similarities",),
        )

    def _has(self, name: str) -> bool:
        return name in EMBEDDED[self.what]

    def open(self, data: Data) -> SampleSource:
        """Open images with captions; images alone may have none."""
        return _opened_pairs(data) if self._has("texts") else open_images(data)

    def rows(self, predictor: Predictor, batch: Batch) -> list[Row]:
        """Return the embeddings of each image and of its captions, L2-normalized."""
        rows: list[dict[str, object]] = [_names(sample) for sample in batch.samples]
        if self._has("images"):
            vectors = predictor.embed_images(batch.images, batch_size=len(batch.images)).numpy()
            for row, vector in zip(rows, vectors, strict=True):
                row["image_embedding"] = vector
        if self._has("texts"):
            captions = [list(sample.captions) for sample in batch.samples]
            vectors = predictor.embed_texts([text for own in captions for text in own], warns=False).numpy()
            ends = np.cumsum([len(own) for own in captions])[:-1]
            for row, own, own_vectors in zip(rows, captions, np.split(vectors, ends), strict=True):
                row |= {"captions": own, "text_embeddings": own_vectors}
        return list(rows)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreWork:
    """How well captions match their images, one row per caption."""

    @property
    def facts(self) -> WorkFacts:
        """A similarity and a likelihood per caption."""
        columns: Columns = {**_NAMES, "caption": "text", "similarity": "number", "log_likelihood": "number"}
        return WorkFacts(verb="score", columns=columns, abilities=("similarities",))

    def open(self, data: Data) -> SampleSource:
        """Open images with captions."""
        return _opened_pairs(data)

    def rows(self, predictor: Predictor, batch: Batch) -> list[Row]:
        """Return the scores of every caption; likelihoods where the model has a text decoder."""
        scores = _scores(predictor, batch, with_log_likelihood=predictor.model.text_decoder is not None)
        return [
            {
                **_names(sample),
                "caption": score.caption,
                "similarity": score.similarity,
                "log_likelihood": score.log_likelihood,
            }
            for sample, own in zip(batch.samples, scores, strict=True)
            for score in own
        ]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FilterWork:
    """The captions that match their images, one row per image that keeps any."""

    threshold: Threshold

    def __post_init__(self) -> None:
        if self.threshold == Threshold():
            raise ValueError(
                "give --min-similarity or --min-log-likelihood; sycoca data filter 'SPEC?limit=1000' --weights WEIGHTS"
                " shows how the scores are distributed"
            )

    @property
    def facts(self) -> WorkFacts:
        """The captions that are kept, with their scores; the likelihood is computed where it decides."""
        columns: Columns = {
            **_NAMES,
            "captions": "texts",
            "similarities": "numbers",
            "log_likelihoods": "numbers",
            "label": "text",
            "split": "text",
        }
        likelihood: Sequence[AbilityName] = ("captions",) if self._needs_likelihood else ()
        return WorkFacts(verb="filter", columns=columns, abilities=("similarities", *likelihood))

    @property
    def _needs_likelihood(self) -> bool:
        return self.threshold.log_likelihood is not None

    def open(self, data: Data) -> SampleSource:
        """Open images with captions."""
        source = _opened_pairs(data)
        if image_path(source[0]) is None:
            logger.warning("the images of %s are no files of their own: the rows name them by their keys", source.name)
        return source

    def rows(self, predictor: Predictor, batch: Batch) -> list[Row]:
        """Return the images that keep captions, as data SPECs read them. Likelihoods are there where they decide."""
        scores = _scores(predictor, batch, with_log_likelihood=self._needs_likelihood)
        kept = [[score for score in own if self.threshold.failed(score) is None] for own in scores]
        return [_kept_row(sample, own) for sample, own in zip(batch.samples, kept, strict=True) if own]


def _kept_row(sample: ImageTextSample, kept: Iterable[PairScore]) -> Row:
    scores = [asdict(score) for score in kept]
    likelihoods = [score["log_likelihood"] for score in scores]
    return {
        **_names(sample),
        "captions": [score["caption"] for score in scores],
        "similarities": [score["similarity"] for score in scores],
        "log_likelihoods": None if None in likelihoods else likelihoods,
        "label": sample.label,
        "split": sample.split,
    }


def _scores(predictor: Predictor, batch: Batch, *, with_log_likelihood: bool) -> list[list[PairScore]]:
    return score_samples(
        predictor,
        batch.samples,
        list(batch.images),
        with_log_likelihood=with_log_likelihood,
        batch_size=len(batch.samples),
    )


def _names(sample: ImageTextSample) -> dict[str, object]:
    path = image_path(sample)
    shown = None if path is None else os.path.abspath(path).encode("utf-8", "backslashreplace").decode()
    return {"key": sample.key, "image": shown}


def _opened_pairs(data: Data) -> SampleSource:
    source = open_source(os.fspath(data)) if isinstance(data, str | os.PathLike) else data
    check_type(source, SampleSource, "data", "a SPEC or a source")
    return source
