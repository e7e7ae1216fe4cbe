"""``sycoca data check``: what is wrong with data sets, each on its own and side by side."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.console import Console
from rich.markup import escape

from sycoca.data.inspection.check import DataCheck, check_set, duplicates_among
from sycoca.data.inspection.check_headlines import headlines
from sycoca.data.inspection.image_index import Finding, ImageIndex, default_index_path
from sycoca.data.inspection.image_inspection import inspect_images
from sycoca.data.inspection.statistics import all_captions, evenly_spread
from sycoca.data.samples import SampleSource
from sycoca.data.spec import open_source
from sycoca.plain_data import write_text
from sycoca.preprocess.config import TokenizerConfig
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.progress_bar import tracked
from sycoca.reports.data_page import save_data_page

NumImages = Literal["all"] | int
"""How many images to open, spread evenly."""

_MOST_LINES = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """Find broken files, odd captions and pictures that occur twice, within and across data sets.

    A file's splits count as parts of their own, as do several SPECs: sycoca data check train.csv test.csv.
    Exit code 1 where something is broken or two parts share a picture, 0 otherwise.
    """

    specs: tyro.conf.Positional[tuple[str, ...]]
    """The data sets, one or more."""

    out: Path | None = None
    """A *.html file, or a folder for check.html and check.json, to write a page with a contact sheet to."""

    tokenizer: Path | None = None
    """A tokenizer.json to count tokens with; None trains one on the captions."""

    vocab_size: int = 8192
    """Most token ids of a tokenizer trained here."""

    context_length: int = 76
    """Captions of more tokens than this are cut in training."""

    images: NumImages = "all"
    """How many images of each set to open, spread evenly."""

    index: Path | None = None
    """File that remembers images between commands; None is sycoca/images.sqlite in your folder for caches."""

    no_index: tyro.conf.FlagCreatePairsOff[bool] = False
    """Look at every image anew and remember nothing."""

    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print JSON instead of text."""


def check(command: Check) -> int:
    """Check the sets and say what was found; exit code 1 where something is broken or leaks."""
    if not command.specs:
        raise ValueError("sycoca data check needs one SPEC or more, such as photos.jsonl?split=train")
    sources = [open_source(spec) for spec in command.specs]
    result = _check(command, sources)
    record = json.dumps({**asdict(result), "is_clean": result.is_clean}, indent=2)
    if command.json:
        print(record)
    else:
        _print(result)
    if command.out is not None:
        is_page = command.out.suffix.lower() in (".html", ".htm")
        page = command.out if is_page else command.out / "check.html"
        save_data_page(result, sources, page)
        if not is_page:
            write_text(command.out / "check.json", record)
        Console(stderr=True).print(f"wrote {page}", highlight=False, markup=False, soft_wrap=True)
    return 0 if result.is_clean else 1


def findings_about(
    source: SampleSource, num_images: NumImages, index: ImageIndex, console: Console
) -> tuple[list[int], list[Finding]]:
    """Look at images of a source and show how far it is; returns which, and what was found."""
    if num_images != "all" and num_images < 0:
        raise ValueError(f"the number of images to open must be at least 0, got {num_images}")
    places = evenly_spread(len(source), len(source) if num_images == "all" else num_images)
    findings = inspect_images(source, index, places)
    return places, list(tracked(findings, len(places), f"images of {source.name}", console=console))


def open_index(path: Path | None, *, is_off: bool, console: Console) -> ImageIndex:
    """Open the index of images that the options name."""
    where = None if is_off else default_index_path() if path is None else path
    return ImageIndex(where, lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True))


def counting_tokenizer(sources: Sequence[SampleSource], path: Path | None, vocab_size: int) -> Tokenizer:
    """Return the tokenizer of a file, or one trained on the captions."""
    if path is not None:
        return Tokenizer.load(path)
    captions = [caption for source in sources for caption in all_captions(source)]
    # Where there are only questions or labels there is nothing to count, and any tokenizer will do.
    return Tokenizer.train(captions or [""], TokenizerConfig(vocab_size=vocab_size))


def _check(command: Check, sources: list[SampleSource]) -> DataCheck:
    console = Console(stderr=True)
    tokenizer = counting_tokenizer(sources, command.tokenizer, command.vocab_size)
    with open_index(command.index, is_off=command.no_index, console=console) as index:
        looked = [findings_about(source, command.images, index, console) for source in sources]
    places, findings = [one[0] for one in looked], [one[1] for one in looked]
    return DataCheck(
        sets=tuple(
            check_set(source, spec, ones, tokenizer.num_tokens, command.context_length)
            for source, spec, ones in zip(sources, command.specs, findings, strict=True)
        ),
        duplicates=duplicates_among(sources, places, findings),
        context_length=command.context_length,
    )


def _print(result: DataCheck) -> None:
    console = Console(soft_wrap=True, highlight=False)
    colors = {"bad": "red", "odd": "yellow", "good": "green"}
    for headline in headlines(result):
        console.print(f"[{colors[headline.kind]}]{headline.kind:4}[/] {escape(headline.text)}")
    lines = [f"{p.reason}: {p.detail}" for one in result.sets for p in one.problems]
    for group in result.duplicates:
        members = ", ".join(f"{place.key} ({place.part})" for place in group.places[:6])
        lines.append(f"{group.likeness} duplicates: {members}{' ...' if len(group.places) > 6 else ''}")
    for line in lines[:_MOST_LINES]:
        console.print(f"  {escape(line)}")
    if len(lines) > _MOST_LINES:
        console.print(f"  and {len(lines) - _MOST_LINES:,} more; --out FILE.html or --json shows all")
