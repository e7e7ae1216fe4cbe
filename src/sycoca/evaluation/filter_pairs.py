"""Filtering of image-caption pairs: a model scores them, and those that fit are kept."""

import json
import logging
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from sycoca.data.formats.image_files import ImageFolder, StoredImage
from sycoca.data.loading.skipping import usable_source
from sycoca.data.named_inputs import named_inputs
from sycoca.data.samples import ImageTextSample, SampleSource, num_lost_samples
from sycoca.data.spec import open_source
from sycoca.evaluation.pair_scores import PairScore, Threshold, pair_scores, quantiles
from sycoca.inference.load import predictor_of
from sycoca.inference.model_options import ModelOptions
from sycoca.inference.predictor import Predictor
from sycoca.inference.provenance import ResultProvenance, provenance_of, result_lines, with_provenance
from sycoca.json_lines import ResumableLines, write_records
from sycoca.keywords import check_type, suggests_keywords
from sycoca.outputs.output import Output, claimed
from sycoca.plain_data import to_plain

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger(__name__)

ScoredSample = tuple[ImageTextSample, list[PairScore]]
"""A sample with the scores of its captions, in their order."""


class FilterRunOptions(TypedDict, total=False):
    """What else `filter_pairs` takes."""

    max_skipped_ratio: float
    model: ModelOptions
    console: "Console | None"


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterResult:
    """What became of the pairs of a source."""

    source: str
    """The SPEC, or the source's name."""

    counts: dict[str, int]
    """Images and captions: all, skipped, kept, dropped by each score."""

    quantiles: dict[str, dict[str, float]]
    """By score its quantiles over all captions, by percent."""

    scores: list[PairScore]
    """Every pair's scores, in the order of the source."""

    def __repr__(self) -> str:
        kept, captions = self.counts["kept_captions"], self.counts["captions"]
        return f"<FilterResult of {self.source!r}: {kept:,} of {captions:,} captions kept>"

    def to_json(self) -> str:
        """Return counts and quantiles as JSON."""
        return json.dumps({"source": self.source, "counts": self.counts, "quantiles": self.quantiles}, indent=2)


@suggests_keywords
def filter_pairs(
    weights: Predictor | str | Path,
    data: SampleSource | str | Path,
    *,
    min_similarity: float | None = None,
    min_log_likelihood: float | None = None,
    out: str | Path | None = None,
    scores: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    **options: Unpack[FilterRunOptions],
) -> FilterResult:
    """Score every caption of a source against its image, and keep those that reach the minimum.

    ``weights``: a weights folder, ``hf:owner/name[@revision]``, or a loaded `Predictor`. ``data``: a SPEC or a source.
    ``min_similarity``: least cosine of image and caption. ``min_log_likelihood``: least mean log-probability of a
    caption's tokens, natural logarithm. Without either all pairs are kept, and the quantiles show which minimum to
    choose. ``out``: a *.jsonl file of the images that keep captions, which data SPECs read. ``scores``: a file of every
    pair's scores, a JSON line each, written batch by batch. FILE.provenance.json beside each names the weights.
    ``resume``: continue ``scores`` with the pairs that it does not have yet, of the same data and weights.
    ``overwrite``: replace ``out``, and ``scores`` unless they are resumed. ``max_skipped_ratio``: largest fraction of
    the samples that may be left out because they cannot be read; 0 by default. ``model``: device, precision and batch
    size. ``console``: where progress bars are shown; none by default.

    Raises OutputError (a ValueError) before anything runs where a file is there already or cannot be written, or
    another process writes it, and for ``scores`` of other weights that are resumed; ValueError where arguments
    contradict each other, ``scores`` were written for other data, the source has no captions, no caption reaches the
    minimum, or images have no file that ``out`` could name; and for a likelihood from a model without text decoder.
    """
    threshold = Threshold(similarity=min_similarity, log_likelihood=min_log_likelihood)
    kept_file, scores_file = _path(out), _path(scores)
    _check_arguments(threshold, kept_file, scores_file, resume=resume)
    model, console = options.get("model", ModelOptions()), options.get("console")
    inputs = named_inputs(weights, data)
    with claimed(*_outputs(kept_file, scores_file, inputs, resume=resume, overwrite=overwrite)) as (_, lease):
        source = open_source(os.fspath(data)) if isinstance(data, str | os.PathLike) else data
        check_type(source, SampleSource, "data", "a SPEC or a source")
        predictor = predictor_of(weights, model)
        provenance = provenance_of(weights, predictor)
        lines = None if scores_file is None else result_lines(scores_file, provenance, resume=resume, lease=lease)
        source = usable_source(source, options.get("max_skipped_ratio", 0.0), console=console)
        if kept_file is not None:
            _image_file(source[0])  # before hours of scoring
        # The likelihood takes most of the time: only where it decides, or where people look for what should decide.
        is_looked_at = kept_file is None and predictor.model.text_decoder is not None
        scored = _scored(
            predictor,
            source,
            lines,
            with_log_likelihood=min_log_likelihood is not None or is_looked_at,
            batch_size=model.batch_size,
            console=console,
        )
        predictor.warn_of_truncation([score.caption for _, own in scored for score in own], "captions")
        result = _result(source, scored, threshold, kept_file, provenance)
    return replace(result, source=str(data)) if isinstance(data, str | os.PathLike) else result


def _result(
    source: SampleSource,
    scored: list[ScoredSample],
    threshold: Threshold,
    kept_file: Path | None,
    provenance: ResultProvenance,
) -> FilterResult:
    """Count, and write what is kept."""
    scores = [score for _, own in scored for score in own]
    if not scores:
        raise ValueError(f"{source.name} has no captions to score")
    dropped = Counter(threshold.failed(score) for score in scores)
    counts = {
        "images": len(source),
        "skipped_images": num_lost_samples(source),
        "captions": len(scores),
        "kept_captions": dropped[None],
        "dropped_for_similarity": dropped["similarity"],
        "dropped_for_log_likelihood": dropped["log_likelihood"],
    }
    if kept_file is not None:
        rows = list(_kept_rows(scored, threshold))
        if not rows:
            raise ValueError(f"no caption reaches the minimum, {kept_file} would be empty; look at --scores FILE")
        with with_provenance(kept_file, replace(provenance, options=to_plain(threshold))):
            write_records(kept_file, rows)
        counts["kept_images"] = len(rows)
    # A call that resumes the scores of another one, which computed likelihoods, may lack those of the rest.
    names = ["similarity"] + ["log_likelihood"] * all(score.log_likelihood is not None for score in scores)
    return FilterResult(
        source=source.name,
        counts=counts,
        quantiles={name: quantiles(scores, name) for name in names},
        scores=scores,
    )


def _scored(
    predictor: Predictor,
    source: SampleSource,
    lines: ResumableLines | None,
    *,
    with_log_likelihood: bool,
    batch_size: int,
    console: "Console | None",
) -> list[ScoredSample]:
    """Score what the file does not have yet; every score is in the file as soon as its batch is done."""
    scored = [] if lines is None else _resumed(lines, source, with_log_likelihood=with_log_likelihood)
    for sample, scores in pair_scores(
        predictor,
        source,
        with_log_likelihood=with_log_likelihood,
        first=len(scored),
        batch_size=batch_size,
        console=console,
    ):
        scored.append((sample, scores))
        if lines is not None:
            lines.append(*map(asdict, scores))
    return scored


def _resumed(lines: ResumableLines, source: SampleSource, *, with_log_likelihood: bool) -> list[ScoredSample]:
    """Return the samples whose captions all have scores in the file, and drop the lines of an incomplete one.

    Raises ValueError where its lines are not about these samples, and where they lack a score.
    """
    samples = [source[index] for index in range(len(source))]
    lines.check([{"image": one.key, "caption": caption} for one in samples for caption in one.captions])
    if with_log_likelihood and any(record.get("log_likelihood") is None for record in lines.records):
        raise ValueError(f"{lines.path} was written without likelihoods; give --scores another name to start over")
    scored: list[ScoredSample] = []
    first = 0
    for sample in samples:
        last = first + len(sample.captions)
        if last > len(lines):
            break
        scored.append((sample, [_score(record, lines.path) for record in lines.records[first:last]]))
        first = last
    lines.keep(first)
    if first:
        logger.info("%s has the scores of %d of %d images", lines.path, len(scored), len(source))
    return scored


def _score(record: dict[str, object], path: Path) -> PairScore:
    names = [field.name for field in fields(PairScore)]
    if sorted(record) != sorted(names):
        raise ValueError(f"{path} has a line that is no score of sycoca data filter: {ascii(record)[:80]}")
    return PairScore(**record)  # pyright: ignore[reportArgumentType]


def _kept_rows(scored: list[ScoredSample], threshold: Threshold) -> Iterator[dict[str, object]]:
    """Yield the rows that the jsonl format reads back; images that keep no caption have none."""
    for sample, scores in scored:
        captions = [score.caption for score in scores if threshold.failed(score) is None]
        if captions:
            known = {"label": sample.label, "split": sample.split}
            row: dict[str, object] = {"image": _image_file(sample), "captions": captions}
            yield row | {name: text for name, text in known.items() if text is not None}


def _image_file(sample: ImageTextSample) -> str:
    """Return a name that finds the image from anywhere."""
    image = sample.open_image
    if not isinstance(image, StoredImage) or not isinstance(image.files, ImageFolder):
        raise ValueError(
            f"{sample.key} is no image file of its own, so a list cannot name it; unpack the archive, or write"
            " built-in scenes to disk first (sycoca data write-scenes); sycoca map filter says of samples in shards"
            " which to keep"
        )
    return str((image.files.folder / image.name).resolve())


def _check_arguments(threshold: Threshold, out: Path | None, scores: Path | None, *, resume: bool) -> None:
    """Raise ValueError where arguments contradict each other."""
    if resume and scores is None:
        raise ValueError("there are no scores to resume: give --scores too")
    if out is not None and threshold == Threshold():
        raise ValueError("--out keeps everything without --min-similarity or --min-log-likelihood: give one")


def _outputs(
    out: Path | None, scores: Path | None, inputs: tuple[Path, ...], *, resume: bool, overwrite: bool
) -> tuple[Output | None, Output | None]:
    return (
        None if out is None else Output(path=out, suffixes=(".jsonl",), inputs=inputs, overwrite=overwrite),
        None
        if scores is None
        else Output(path=scores, kind="growing file", inputs=inputs, overwrite=overwrite and not resume, resume=resume),
    )


def _path(name: str | Path | None) -> Path | None:
    return None if name is None else Path(name)
