"""``sycoca data check``: find broken files, bad captions and photos, and duplicates within and across sets."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from tyro.conf import Positional, arg

from sycoca.cli.data.inspected import NumImages, counting_tokenizer, open_cache, places_to_open, with_progress
from sycoca.cli.shared.logs import stderr_console
from sycoca.cli.shared.results import tell
from sycoca.data.formats.named_images import shown_name
from sycoca.data.inspection.check import DataCheck, check_set, duplicates_among
from sycoca.data.inspection.check_headlines import headlines
from sycoca.data.inspection.finding_cache import Finding, FindingCache
from sycoca.data.inspection.image_inspection import inspect_images
from sycoca.data.inspection.photo_checks import PhotoThresholds, photo_issues
from sycoca.data.named_inputs import inputs_of
from sycoca.data.samples import SampleSource
from sycoca.data.spec import open_source
from sycoca.evaluation.fit_records import DataFit, fit_headlines, one_per_image
from sycoca.facts.photo_facts import PHOTO_KINDS
from sycoca.file_names import has_suffix
from sycoca.inference.model_options import ModelOptions
from sycoca.outputs.errors import OutputError
from sycoca.outputs.output import Output, claimed
from sycoca.plain_data import write_text
from sycoca.reports.data_check.page import save_data_page
from sycoca.terminal import line_width, plain, say, wrapped

_MOST_LINES = 20
_MOST_PAIRS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Find broken files, bad captions and photos, and duplicate images, within data sets and across them.

    The splits of a file are compared with each other, and so are several SPECs: sycoca data check train.csv test.csv.
    Exit code 1 if something is broken or two parts share an image, 0 otherwise.
    """

    specs: Positional[tuple[str, ...]]
    """One or more data sets."""

    out: Annotated[Path | None, arg(metavar="FILE.html|FOLDER")] = None
    """Write a page with a contact sheet: to an .html file, or as check.html to a folder, with check.json beside it."""

    overwrite: bool = False
    """Replace the page, and check.json, if they exist."""

    tokenizer: Path | None = None
    """The tokenizer that counts tokens; None trains one on the captions."""

    vocab_size: int = 8192
    """Largest vocabulary of a tokenizer that is trained here."""

    context_length: int = 76
    """Longest caption in tokens; longer ones are truncated in training."""

    images: Annotated[NumImages, arg(metavar="N|all")] = "all"
    """Number of images to open per data set, evenly spaced."""

    cache: Annotated[Path | None, arg(metavar="FILE", aliases=["--index"])] = None
    """Cache of what is known of each image; None is sycoca/images.sqlite in your cache folder."""

    no_cache: Annotated[bool, arg(aliases=["--no-index"])] = False
    """Open every image again, and cache nothing."""

    weights: str | None = None
    """Weights of a model that says which captions fit their images least: a folder, or hf:owner/name[@revision] on the
    Hugging Face Hub. None leaves that out."""

    map: bool = True
    """With --weights, draw a map of the images on the page; needs scikit-learn."""

    json: bool = False
    """Print JSON instead of text."""

    model: ModelOptions = field(default_factory=ModelOptions)
    """Device and precision."""

    photos: PhotoThresholds = field(default_factory=PhotoThresholds)
    """Thresholds beyond which photos are listed as worth a look."""

    def run(self) -> int:
        """Check, and print what was found; exit code 1 if something is broken or two parts share an image."""
        inputs = inputs_of(self, "out", "cache")
        output = None if self.out is None else _output(self.out, inputs, overwrite=self.overwrite)
        with claimed(output), open_cache(self.cache, is_off=self.no_cache) as cache:
            if self.has_map:
                from sycoca.evaluation.data_map import check_map_requirements

                check_map_requirements()
            sources = [open_source(spec) for spec in self.specs]
            result, fit = _check(self, sources, cache)
            record = json.dumps(_record(result, fit), indent=2)
            if self.json:
                print(record)
            else:
                _print(result, fit, sources)
            if self.out is not None:
                _save(result, fit, sources, record, self.out)
        return 0 if result.is_clean else 1

    @property
    def has_map(self) -> bool:
        """Whether a map is drawn: on a page, by a model's embeddings."""
        return self.map and self.weights is not None and self.out is not None


_PAGE, _RECORD = "check.html", "check.json"


def _is_page(out: Path) -> bool:
    return has_suffix(out, ".html", ".htm")


def _output(out: Path, inputs: tuple[Path, ...], *, overwrite: bool) -> Output:
    if _is_page(out):
        return Output(path=out, inputs=inputs, overwrite=overwrite)
    if out.suffix[1:].isalpha() and not out.is_dir():
        raise OutputError(f"{out} is neither an .html file nor a folder; name one of them")
    return Output(path=out, kind="files in a folder", names=(_PAGE, _RECORD), inputs=inputs, overwrite=overwrite)


def _save(result: DataCheck, fit: DataFit | None, sources: list[SampleSource], record: str, out: Path) -> None:
    page = out if _is_page(out) else out / _PAGE
    save_data_page(result, sources, page, fit)
    if not _is_page(out):
        write_text(out / _RECORD, record)
    tell("page", page)


def _check(command: Arguments, sources: list[SampleSource], cache: FindingCache) -> tuple[DataCheck, DataFit | None]:
    tokenizer = counting_tokenizer(sources, command.tokenizer, command.vocab_size)
    places = [places_to_open(source, command.images) for source in sources]
    findings, fit = _inspected(command, sources, places, cache)
    check = DataCheck(
        sets=tuple(
            check_set(
                source,
                spec,
                ones,
                tokenizer.num_tokens,
                command.context_length,
                photo_issues(source, where, ones, command.photos),
            )
            for source, spec, where, ones in zip(sources, command.specs, places, findings, strict=True)
        ),
        duplicates=duplicates_among(sources, places, findings, command.photos),
        context_length=command.context_length,
        thresholds=command.photos,
    )
    return check, fit


def _inspected(
    command: Arguments, sources: list[SampleSource], places: list[list[int]], cache: FindingCache
) -> tuple[list[list[Finding]], DataFit | None]:
    """Inspect the images, and let the model see them on the way."""
    console = stderr_console()
    if command.weights is None:
        both = zip(sources, places, strict=True)
        return [with_progress(inspect_images(one, cache, where), one, len(where), console) for one, where in both], None
    # Imported here, since it imports torch: a check without a model is fast.
    from sycoca.evaluation.data_fit import data_fit, views_of

    predictor = command.model.load(command.weights)
    predictor.check_ability("similarities")
    views = views_of(predictor, places, with_map=command.has_map, batch_size=command.model.batch_size)
    findings = [
        with_progress(view.embedded(inspect_images(one, cache, where, view)), one, len(where), console)
        for one, where, view in zip(sources, places, views, strict=True)
    ]
    return findings, data_fit(command.weights, sources, findings, views, with_map=command.has_map)


def _record(result: DataCheck, fit: DataFit | None) -> dict[str, Any]:
    """Return the result as the content of check.json."""
    record = {**asdict(result), "is_clean": result.is_clean}
    for group in record["duplicates"]:
        # The name of this key in the release before.
        group["likeness"] = group["match_kind"]
    if fit is None:
        record["fit"] = None
    else:
        sets = [None if one is None else asdict(one) for one in fit.sets]
        record["fit"] = {"weights": fit.weights, "sets": sets}
    return record


def _print(result: DataCheck, fit: DataFit | None, sources: list[SampleSource]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    of_fit = [] if fit is None else fit_headlines(fit, sources)
    colors = {"bad": "red", "odd": "yellow", "good": "green"}
    for headline in [*headlines(result), *of_fit]:
        text = plain(wrapped(f"{headline.kind:4} {headline.text}", line_width(console.file)))
        text.stylize(colors[headline.kind], 0, len(headline.kind))
        console.print(text)
    lines = [f"{p.reason}: {p.detail}" for one in result.sets for p in one.listed_problems]
    for group in result.duplicates:
        members = ", ".join(f"{place.shown} ({place.part})" for place in group.places[:6])
        lines.append(f"{group.match_kind} duplicates: {members}{' ...' if len(group.places) > 6 else ''}")
    for one in result.sets:
        lines += [f"{PHOTO_KINDS[issue.kind].title}: {issue.shown} ({issue.value:.3g})" for issue in one.photos]
    for line in _fit_lines(fit, sources):
        say(console, f"  {line}")
    for line in lines[:_MOST_LINES]:
        say(console, f"  {line}")
    if len(lines) > _MOST_LINES:
        console.print(f"  and {len(lines) - _MOST_LINES:,} more; --out FILE.html or --json shows all")


def _fit_lines(fit: DataFit | None, sources: list[SampleSource]) -> Iterator[str]:
    """Yield the pairs that fit least, and the captions that fit another image as well or better."""
    for source, one in zip(sources, () if fit is None else fit.sets, strict=fit is not None):
        if one is None:
            continue
        for pair in one_per_image(one.least)[:_MOST_PAIRS]:
            others = "" if pair.mean_other_cosine is None else f", with other images {pair.mean_other_cosine:.3f}"
            yield f"fits least ({pair.cosine:.3f}{others}): {shown_name(source[pair.index])}: {pair.caption}"
        for pair in one_per_image(one.fitting_another)[:_MOST_PAIRS]:
            other = shown_name(source[pair.other_index]) if pair.other_index is not None else ""
            where = f"{shown_name(source[pair.index])} ({pair.cosine:.3f}), better {other} ({pair.other_cosine:.3f})"
            yield f"fits another image: {where}: {pair.caption}"
