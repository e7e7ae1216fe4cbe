"""Captioning: captions of a model, compared with reference captions by people."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from rich.console import Console

from sycoca.data.samples import SampleSource, num_lost_captions, num_lost_samples
from sycoca.data.writing.caption_results import source_references, write_caption_results
from sycoca.evaluation.batches import num_evaluated, sample_batches
from sycoca.evaluation.caption_scores import caption_report
from sycoca.evaluation.embeddings import ImageEmbeddings
from sycoca.evaluation.report import Report
from sycoca.evaluation.report_parts import joined
from sycoca.evaluation.self_retrieval import self_retrieval_part
from sycoca.evaluation.sharding import ALONE, Sharding
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.predictor import Predictor


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptioningOptions:
    """Generation, metrics and output file of captioning."""

    generation: GenerationConfig = field(default_factory=GenerationConfig)
    """Options of generation; greedy by default."""

    with_meteor: bool = True
    """Compute METEOR, where Java and pycocoevalcap are installed."""

    predictions: Path | None = None
    """A file for the captions in COCO's result format."""


def evaluate_captioning(
    predictor: Predictor,
    source: SampleSource,
    *,
    options: CaptioningOptions | None = None,
    batch_size: int = 64,
    limit: int | None = None,
    console: Console | None = None,
    sharding: Sharding = ALONE,
    self_retrieval: ImageEmbeddings | None = None,
) -> Report:
    """Caption the first images and compare with all their references; see `caption_report`.

    Protocol of COCO (pycocoevalcap): Penn Treebank tokens, one caption per image against all its references.
    With ``self_retrieval`` also how often a caption finds its own image by these embeddings, see `self_retrieval_part`.
    Raises ValueError for an image without references, and for a model without text decoder.
    """
    started_at = time.perf_counter()
    options = CaptioningOptions() if options is None else options
    num_samples = num_evaluated(source, limit)
    references = source_references(source, num_samples)
    generated = _generated(predictor, source, num_samples, options.generation, batch_size, console, sharding)
    captions = dict(zip(references, sharding.join_plain(list(generated)), strict=True))
    if options.predictions is not None and sharding.rank == 0:
        write_caption_results(options.predictions, list(captions), list(captions.values()))
    report = caption_report(
        captions,
        references,
        with_meteor=options.with_meteor,
        counts={"skipped_samples": num_lost_samples(source), "left_out_captions": num_lost_captions(source)},
        settings={"data": source.name, "limit": limit, **asdict(options.generation)},
        console=console,
    )
    if self_retrieval is not None:
        texts = list(captions.values())
        report = joined(
            report, [self_retrieval_part(self_retrieval, source, texts, console=console, sharding=sharding)]
        )
    remarks = (*predictor.generation_cautions(options.generation), *report.remarks)
    return replace(report, seconds=time.perf_counter() - started_at, remarks=remarks)


def _generated(
    predictor: Predictor,
    source: SampleSource,
    num_samples: int,
    generation: GenerationConfig,
    batch_size: int,
    console: Console | None,
    sharding: Sharding,
) -> Iterator[str]:
    first = sharding.own(num_samples).start
    batches = sample_batches(source, num_samples, batch_size, "captioning", console=console, sharding=sharding)
    for samples in batches:
        for caption in predictor.generate(samples, generation, batch_size=batch_size, first_index=first):
            yield predictor.tokenizer.decode(caption.tokens)
        first += len(samples)
