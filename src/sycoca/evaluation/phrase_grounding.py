"""Noun phrases of captions against the objects that they name, beside what other scores reach."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from rich.console import Console
from torch import Tensor

from sycoca.data.samples import ImageTextSample, NamedPixels, SampleSource
from sycoca.evaluation.batches import num_evaluated, sample_batches
from sycoca.evaluation.caption_rotation import CaptionRotation, RotatedCaption
from sycoca.evaluation.grounding import described_ratios, evaluate_grounding, without_other_caption
from sycoca.evaluation.report import ItemScores, Report
from sycoca.facts.metric_suffixes import ANY_OBJECT, NO_CAPTION, OTHER_CAPTION, RANDOM
from sycoca.inference.explaining.explanation import NounPhrase
from sycoca.inference.predictor import Predictor
from sycoca.metrics.grounding import chance_average_precision, grounding_average_precision

LEAST_COVERED = 0.25
"""Fraction of a patch's pixels that an object covers at least where the patch counts as its own."""

_METRIC = "noun_phrase_average_precision"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Captioned:
    """A sample with one of its captions."""

    sample: ImageTextSample
    """The sample."""

    caption: str
    """The caption."""

    named: Sequence[NamedPixels]
    """The objects that it names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Phrase:
    """A noun phrase of a sample's caption with the patches of its object, and all scores of the patches."""

    key: str
    """The sample and the number of the phrase."""

    sample: str
    """The sample's key."""

    has_object: Float[Tensor, " patches"]
    """1 for the patches of its object, else 0."""

    has_any: Float[Tensor, " patches"]
    """1 for the patches of all objects of the scene, else 0."""

    scores: Mapping[str, Float[Tensor, " patches"] | None]
    """By suffix of the metric the scores of the phrase and of the baselines; None where a caption was cut before it,
    or names nothing. Without that of another caption where no other sample has one."""

    @property
    def is_usable(self) -> bool:
        """Whether there are patches to find, and all scores."""
        return bool(self.has_object.any()) and all(scores is not None for scores in self.scores.values())


def evaluate_grounding_and_phrases(
    predictor: Predictor,
    source: SampleSource,
    *,
    batch_size: int = 64,
    limit: int | None = None,
    console: Console | None = None,
) -> Report:
    """Return the report of `evaluate_grounding` and, where objects are known by name, that of noun phrases.

    ``noun_phrase_average_precision``: a noun phrase scores each patch by its largest cosine over the words of the
    phrase; patches of which the named object covers at least a quarter are to be ranked first. The mean over phrases.
    Baselines: ``_random`` order; ``_no_caption``, the cosine with the image's own embedding; ``_other_caption``, the
    phrase in the same position of the other caption, chosen as in `evaluate_grounding`; ``_any_object``, the patches of
    all objects first, in random order. Phrases are skipped and counted where their object covers a quarter of no patch,
    where the caption or the other one is too long for the model's context, and where the other one names no object.
    """
    started_at = time.perf_counter()
    report = evaluate_grounding(predictor, source, batch_size=batch_size, limit=limit, console=console)
    if source[0].named_objects is None:
        return report
    phrases: list[_Phrase] = []
    num_samples, first = num_evaluated(source, limit), 0
    rotation = CaptionRotation(source, num_samples)
    for samples in sample_batches(source, num_samples, batch_size, "scoring noun phrases", console=console):
        indices = range(first, first + len(samples))
        pairs = list(zip(samples, indices, strict=True))
        own = [_captioned(sample, rotation.of(sample, index)) for sample, index in pairs]
        found = [rotation.other_than(sample, index) for sample, index in pairs]
        others = [None if other is None else _captioned(source[other.index], other) for other in found]
        phrases += _phrases(predictor, own, others, batch_size)
        first += len(samples)
    usable = [phrase for phrase in phrases if phrase.is_usable]
    items = ItemScores(
        keys=[phrase.key for phrase in usable],
        values=_values(usable) if usable else {},
        groups=[phrase.sample for phrase in usable],
    )
    metrics = {name: float(np.mean(values)) for name, values in items.values.items()}
    return replace(
        report,
        metrics={**report.metrics, **metrics},
        counts={
            **report.counts,
            "noun_phrases": len(usable),
            "skipped_noun_phrases": len(phrases) - len(usable),
        },
        settings={**report.settings, **without_other_caption(metrics, (_METRIC,))},
        seconds=time.perf_counter() - started_at,
        items={**report.items, "noun phrase": items},
    )


def _captioned(sample: ImageTextSample, caption: RotatedCaption) -> _Captioned:
    """Return a sample with the caption that stands for it and what that names."""
    assert sample.named_objects is not None, f"{sample.key} does not say which objects its captions name"
    return _Captioned(sample=sample, caption=caption.text, named=sample.named_objects(caption.number))


def _phrases(
    predictor: Predictor, own: Sequence[_Captioned], others: Sequence[_Captioned | None], batch_size: int
) -> Iterator[_Phrase]:
    """Yield the noun phrases of a batch with all scores."""
    samples = [one.sample for one in own]
    found = predictor.noun_phrases(samples, [one.caption for one in own], batch_size=batch_size)
    compared = {row: other for row, other in enumerate(others) if other is not None}
    by_others = predictor.noun_phrases(
        [samples[row] for row in compared], [other.caption for other in compared.values()], batch_size=batch_size
    )
    phrases_of_other = dict(zip(compared, by_others, strict=True))
    saliency = predictor.saliency(samples, batch_size=batch_size)
    for row, one in enumerate(own):
        assert one.sample.object_pixels is not None, f"{one.sample.key} does not say where its objects are"
        has_any = _covered(predictor, one.sample.object_pixels())
        for position, thing in enumerate(one.named):
            has_object = _covered(predictor, thing.pixels)
            scores = {"": _scores_of(found[row], thing.name), NO_CAPTION: saliency[row]}
            if row in compared:
                named = compared[row].named
                other = named[min(position, len(named) - 1)] if named else None
                scores[OTHER_CAPTION] = None if other is None else _scores_of(phrases_of_other[row], other.name)
            yield _Phrase(
                key=f"{one.sample.key} phrase {position}",
                sample=one.sample.key,
                has_object=has_object,
                # Interpolation may take some of a patch's pixels away where another object is near.
                has_any=torch.maximum(has_any, has_object),
                scores=scores,
            )


def _scores_of(phrases: Sequence[NounPhrase], name: str) -> Float[Tensor, " patches"] | None:
    """Return the scores of the phrase that ends with an object's name; None where there is none."""
    found = [phrase.scores for phrase in phrases if phrase.text.endswith(name)]
    return torch.from_numpy(found[0].flatten()) if found else None


def _covered(predictor: Predictor, pixels: Bool[np.ndarray, "height width"]) -> Float[Tensor, " patches"]:
    """Return 1 for the patches of which these pixels cover enough, else 0."""
    return (described_ratios(predictor, pixels) >= LEAST_COVERED).float()


def _values(phrases: Sequence[_Phrase]) -> dict[str, list[float]]:
    has_object = torch.stack([phrase.has_object for phrase in phrases])
    found = {
        f"{_METRIC}{suffix}": grounding_average_precision(_column(phrases, suffix), has_object)
        for suffix in phrases[0].scores
        if all(suffix in phrase.scores for phrase in phrases)
    }
    has_any = torch.stack([phrase.has_any for phrase in phrases])
    in_random_order = {ANY_OBJECT: has_any, RANDOM: torch.ones_like(has_object)}
    return {name: values.tolist() for name, values in found.items()} | {
        f"{_METRIC}{suffix}": [
            chance_average_precision(num_relevant, num_ranked)
            for num_relevant, num_ranked in zip(_counts(has_object), _counts(has_candidates), strict=True)
        ]
        for suffix, has_candidates in in_random_order.items()
    }


def _counts(chosen: Float[Tensor, "phrases patches"]) -> list[int]:
    return [int(number) for number in chosen.sum(1)]


def _column(phrases: Sequence[_Phrase], suffix: str) -> Float[Tensor, "phrases patches"]:
    scores = [phrase.scores[suffix] for phrase in phrases]
    return torch.stack([own.double() for own in scores if own is not None])
