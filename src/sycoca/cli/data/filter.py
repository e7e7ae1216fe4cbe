"""``sycoca data filter``: keep the pairs of a data set that a model finds to fit."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from sycoca.cli.shared.unfinished_file import keep_lines, whole_lines
from sycoca.inference.model_options import ModelOptions

if TYPE_CHECKING:
    from sycoca.data.samples import ImageTextSample, SampleSource
    from sycoca.evaluation.pair_scores import PairScore, Threshold
    from sycoca.inference.predictor import Predictor


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """Keep the captions that fit their image. Without a minimum, scores and their spread show which one to choose."""

    spec: tyro.conf.Positional[str]
    """The data, whose images are files."""

    weights: str
    """The weights folder of the model that judges."""

    min_similarity: float | None = None
    """Least cosine of image and caption, between -1 and 1."""

    min_log_likelihood: float | None = None
    """Least mean log-probability of a caption's tokens, 0 or less."""

    out: Path | None = None
    """Write what is kept to this *.jsonl, one line per image; images that keep no caption are not in it."""

    scores: Path | None = None
    """Write every pair's scores to this file, one JSON object a line, batch by batch."""

    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """Go on with the pairs that --scores does not have yet: of the same data, judged by the same weights."""

    max_skipped_ratio: float = 0.0
    """Largest share of the samples that may be left out because they cannot be read."""

    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print counts and spread as JSON."""

    model: tyro.conf.OmitArgPrefixes[ModelOptions] = field(default_factory=ModelOptions)
    """On what it runs."""

    def threshold(self) -> "Threshold":
        """Return what a pair must reach."""
        from sycoca.evaluation.pair_scores import Threshold

        return Threshold(similarity=self.min_similarity, log_likelihood=self.min_log_likelihood)


def filter_pairs(command: Filter) -> int:
    """Score, filter, write and say what happened; counts go to stdout, progress to stderr."""
    from sycoca.data.samples import skipped_samples
    from sycoca.evaluation.tasks.inputs import OpenSources

    _check(command)
    source = OpenSources().usable(command.spec, command.max_skipped_ratio, None)
    if command.out is not None:
        _image_file(source[0])  # better now than when all is scored
    scored = _judged(command, source, command.model.load(command.weights))
    scores = [score for _, own in scored for score in own]
    if not scores:
        raise ValueError(f"{source.name} has no captions to judge")
    threshold = command.threshold()
    dropped = Counter(threshold.failed(score) for score in scores)
    counts = {
        "images": len(source),
        "skipped_images": len(skipped_samples(source)),
        "captions": len(scores),
        "kept_captions": dropped[None],
        "dropped_for_similarity": dropped["similarity"],
        "dropped_for_log_likelihood": dropped["log_likelihood"],
    }
    if command.out is not None:
        rows = _kept_rows(scored, threshold)
        if not rows:
            raise ValueError(f"no caption reaches the minimum, {command.out} would be empty; look at --scores FILE")
        _write(command.out, rows)
        counts["kept_images"] = len(rows)
    _show(command, counts, scores)
    return 0


def _judged(
    command: Filter, source: "SampleSource", predictor: "Predictor"
) -> "list[tuple[ImageTextSample, list[PairScore]]]":
    """Score what is not scored yet; every score is in --scores as soon as its batch is done."""
    from rich.console import Console

    from sycoca.evaluation.pair_scores import pair_scores

    # The likelihood takes most of the time: only where it decides, or where people look for what should decide.
    is_looked_at = command.out is None and predictor.model.text_decoder is not None
    with_log_likelihood = command.min_log_likelihood is not None or is_looked_at
    known = []
    if command.scores is not None:
        command.scores.parent.mkdir(parents=True, exist_ok=True)
        known = _known(command.scores, source, with_log_likelihood=with_log_likelihood)
    found = pair_scores(
        predictor,
        source,
        with_log_likelihood=with_log_likelihood,
        first=len(known),
        batch_size=command.model.batch_size,
        console=Console(stderr=True),
    )
    if command.scores is None:
        return [*known, *found]
    with command.scores.open("a", encoding="utf-8") as file:
        for sample, scores in found:
            file.write(_as_lines([asdict(score) for score in scores]))
            file.flush()
            known.append((sample, scores))
    return known


def _known(
    path: Path, source: "SampleSource", *, with_log_likelihood: bool
) -> "list[tuple[ImageTextSample, list[PairScore]]]":
    """Return the first samples with the scores that an unfinished file has of them, and cut it behind the last one.

    Raises ValueError where its lines are not about these samples, and where they lack a score.
    """
    lines = whole_lines(path)
    found, first = [], 0
    for index in range(len(source)):
        sample = source[index]
        last = first + len(sample.captions)
        if last > len(lines):
            break
        scores = [_known_score(line, f"{path}, line {first + i + 1}") for i, line in enumerate(lines[first:last])]
        if [(score.image, score.caption) for score in scores] != [(sample.key, own) for own in sample.captions]:
            raise ValueError(f"{path}, line {first + 1} is not about {sample.key}; it was written for other data")
        if with_log_likelihood and any(score.log_likelihood is None for score in scores):
            raise ValueError(f"{path} was written without likelihoods; give --scores another name to start anew")
        found.append((sample, scores))
        first = last
    else:
        if first < len(lines):
            raise ValueError(f"{path} has {len(lines)} lines for {first} captions; it was written for other data")
    if first < len(lines):
        keep_lines(path, lines[:first])
    return found


def _known_score(line: str, where: str) -> "PairScore":
    from sycoca.evaluation.pair_scores import PairScore

    try:
        return PairScore(**json.loads(line))
    except (json.JSONDecodeError, TypeError) as error:
        raise ValueError(f"{where} is no score; --resume goes on with a file that this command wrote") from error


def _kept_rows(
    scored: "list[tuple[ImageTextSample, list[PairScore]]]", threshold: "Threshold"
) -> list[dict[str, object]]:
    rows = []
    for sample, scores in scored:
        captions = [score.caption for score in scores if threshold.failed(score) is None]
        if captions:
            known = {"label": sample.label, "split": sample.split}
            row: dict[str, object] = {"image": _image_file(sample), "captions": captions}
            rows.append(row | {name: text for name, text in known.items() if text is not None})
    return rows


def _write(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    from sycoca.plain_data import write_text

    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, _as_lines(rows))


def _as_lines(rows: Sequence[Mapping[str, object]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _check(command: Filter) -> None:
    if command.resume and command.scores is None:
        raise ValueError("--resume goes on with scores: give --scores too")
    if command.scores is not None and command.scores.exists() and not command.resume:
        raise ValueError(f"{command.scores} is there already; give --resume to go on with it, or another name")
    if command.out is not None and command.out.exists():
        raise ValueError(f"{command.out} is there already; choose another name or delete it first")
    if command.out is not None and command.min_similarity is None and command.min_log_likelihood is None:
        raise ValueError("--out keeps everything without --min-similarity or --min-log-likelihood: give one")
    if command.out is not None and command.out.suffix != ".jsonl":
        raise ValueError(f"--out must end in .jsonl, so that data SPECs can read it, got {command.out}")
    if command.min_similarity is not None and not -1 <= command.min_similarity <= 1:
        raise ValueError(f"--min-similarity is a cosine between -1 and 1, got {command.min_similarity:g}")
    if command.min_log_likelihood is not None and command.min_log_likelihood > 0:
        raise ValueError(f"--min-log-likelihood is at most 0, got {command.min_log_likelihood:g}")


def _image_file(sample: "ImageTextSample") -> str:
    """Return a name that finds the image from anywhere."""
    from sycoca.data.formats.image_files import ImageFolder, StoredImage

    image = sample.open_image
    if not isinstance(image, StoredImage) or not isinstance(image.files, ImageFolder):
        raise ValueError(
            f"{sample.key} is no image file of its own, so a list cannot name it; unpack the zip file, or write "
            "built-in scenes to disk first (sycoca data write-scenes)"
        )
    return str((image.files.folder / image.name).resolve())


def _show(command: Filter, counts: dict[str, int], scores: "list[PairScore]") -> None:
    from rich.console import Console
    from rich.table import Table

    from sycoca.evaluation.pair_scores import quantiles

    names = ["similarity"] + ["log_likelihood"] * (scores[0].log_likelihood is not None)
    spread = {name: quantiles(scores, name) for name in names}
    if command.json:
        print(json.dumps({"source": command.spec, "counts": counts, "quantiles": spread}, indent=2))
        return
    table = Table("count", "value", title="filter", title_justify="left")
    for name, count in counts.items():
        table.add_row(name, f"{count:,}")
    quantile_table = Table("captions below", *names)
    for share in spread["similarity"]:
        quantile_table.add_row(share, *(f"{spread[name][share]:.3f}" for name in names))
    console = Console()
    console.print(table)
    console.print(quantile_table)
