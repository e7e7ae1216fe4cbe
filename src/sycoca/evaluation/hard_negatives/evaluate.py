"""Evaluation of a model on a benchmark of hard negatives."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from rich.console import Console

from sycoca.data.benchmarks.records import Benchmark, CaptionChoice, NamedImage, PairOfPairs, YesNoQuestion
from sycoca.data.loading.skipping import usable_source
from sycoca.data.samples import ImageTextSample
from sycoca.evaluation.hard_negatives.caption_choices import judge_choices
from sycoca.evaluation.hard_negatives.findings import Findings, Score
from sycoca.evaluation.hard_negatives.pairs_of_pairs import judge_pairs
from sycoca.evaluation.hard_negatives.text_scores import text_scores
from sycoca.evaluation.hard_negatives.yes_no_questions import judge_questions
from sycoca.evaluation.report import Report
from sycoca.inference.predictor import Predictor

E = TypeVar("E", CaptionChoice, PairOfPairs, YesNoQuestion)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Images:
    """The images of a benchmark, each once, as a source."""

    samples: tuple[ImageTextSample, ...]
    name: str

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> ImageTextSample:
        return self.samples[index]


def evaluate_hard_negatives(
    predictor: Predictor,
    benchmark: Benchmark,
    name: str,
    *,
    max_skipped_ratio: float = 0.0,
    batch_size: int = 64,
    limit: int | None = None,
    console: Console | None = None,
) -> Report:
    """Return the figures of the first entries of a benchmark, which is called ``name`` in the report.

    Cosine of the contrastive towers and, with a captioner, likelihood, each beside chance and beside what is reached
    without the image. Entries with unreadable images are left out and counted. Raises ValueError for a limit below 1,
    and where more images than ``max_skipped_ratio`` cannot be read.
    """
    started_at = time.perf_counter()
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}; leave it out for all entries")
    score = partial(text_scores, predictor, batch_size=batch_size, console=console)
    wanted = list(benchmark)[:limit]
    usable = _usable_images(wanted, name, max_skipped_ratio, console)
    entries = [entry for entry in wanted if all(image.name in usable for image in _images_of(entry))]
    if not entries:
        raise ValueError(f"{name}: no entry is left whose images can be read")
    findings = _findings(entries, score)
    abilities = ("similarities",) if predictor.model.text_decoder is None else ("similarities", "captions")
    return Report(
        task="hard_negatives",
        metrics=dict(findings.metrics),
        counts={
            f"{findings.unit}s": len(entries),
            "images": len({image.name for entry in entries for image in _images_of(entry)}),
            "left_out": len(wanted) - len(entries),
        },
        settings={"data": name, "limit": limit},
        seconds=time.perf_counter() - started_at,
        items={findings.unit: findings.items},
        remarks=(*findings.remarks, *predictor.cautions(*abilities)),
    )


def _findings(entries: Sequence[CaptionChoice | PairOfPairs | YesNoQuestion], score: Score) -> Findings:
    match entries[0]:
        case CaptionChoice():
            return judge_choices(_all_of(CaptionChoice, entries), score)
        case PairOfPairs():
            return judge_pairs(_all_of(PairOfPairs, entries), score)
        case YesNoQuestion():
            return judge_questions(_all_of(YesNoQuestion, entries), score)


def _all_of(kind: type[E], entries: Sequence[object]) -> list[E]:
    return [entry for entry in entries if isinstance(entry, kind)]


def _images_of(entry: CaptionChoice | PairOfPairs | YesNoQuestion) -> tuple[NamedImage, ...]:
    return entry.images if isinstance(entry, PairOfPairs) else (entry.image,)


def _usable_images(
    entries: Sequence[CaptionChoice | PairOfPairs | YesNoQuestion],
    name: str,
    max_skipped_ratio: float,
    console: Console | None,
) -> set[str]:
    """Return the names of the images that can be read."""
    images = {image.name: image for entry in entries for image in _images_of(entry)}
    samples = tuple(ImageTextSample(key=own, captions=(), open_image=image.open_image) for own, image in images.items())
    source = usable_source(_Images(samples=samples, name=name), max_skipped_ratio, console=console)
    return {source[index].key for index in range(len(source))}
