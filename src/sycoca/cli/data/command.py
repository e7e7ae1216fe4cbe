"""``sycoca data``: check a data source, look at it, filter it, write the built-in scenes to disk."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, assert_never

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sycoca.cli.data import filter as filter_command
from sycoca.cli.data.check import Check, NumImages, check, counting_tokenizer, findings_about, open_index
from sycoca.cli.data.filter import Filter
from sycoca.data.inspection.statistics import (
    CaptionStatistics,
    ImageStatistics,
    Spread,
    caption_statistics,
    image_statistics,
)
from sycoca.data.loading.skipping import counted_reasons
from sycoca.data.samples import skipped_samples
from sycoca.data.scenes.content import Level, Split
from sycoca.data.scenes.source import DEFAULT_COUNT, ScenesSource
from sycoca.data.spec import open_source
from sycoca.data.writing.write_samples import write_samples
from sycoca.progress_bar import tracked


@dataclass(frozen=True, kw_only=True, slots=True)
class Stats:
    """Count captions, words, tokens, labels and questions of a source, and look at some of its images."""

    spec: tyro.conf.Positional[str]
    """The data, such as scenes:?level=easy, photos.jsonl?split=train or a folder of class folders."""

    tokenizer: Path | None = None
    """A tokenizer.json to count tokens with; None trains one on the captions."""

    vocab_size: int = 8192
    """Most token ids of a tokenizer trained here."""

    context_length: int = 76
    """Captions of more tokens than this count as truncated."""

    images: NumImages = 100
    """How many images to open, spread evenly over the source."""

    index: Path | None = None
    """File that remembers images between commands; None is sycoca/images.sqlite in your folder for caches."""

    no_index: tyro.conf.FlagCreatePairsOff[bool] = False
    """Look at every image anew and remember nothing."""

    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print JSON instead of tables."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WriteScenes:
    """Write built-in scenes as PNG files and a captions.jsonl that --data options read back."""

    folder: tyro.conf.Positional[Path]
    """Where to write; created if absent."""

    level: Level = "easy"
    """How much there is to tell apart."""

    count: int = DEFAULT_COUNT
    """Number of scenes."""

    seed: int = 0
    """Which scenes."""

    split: Split = "train"
    """Part of the possible contents to take them from."""

    size: int = 64
    """Height and width in pixels."""

    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print JSON instead of text."""


Command = (
    Annotated[Check, tyro.conf.subcommand(name="check")]
    | Annotated[Stats, tyro.conf.subcommand(name="stats")]
    | Annotated[Filter, tyro.conf.subcommand(name="filter")]
    | Annotated[WriteScenes, tyro.conf.subcommand(name="write-scenes")]
)


def run(arguments: list[str]) -> int:
    """Parse the arguments behind ``sycoca data`` and do what they say; returns the exit code."""
    command = tyro.cli(Command, prog="sycoca data", args=arguments)
    match command:
        case Check():
            return check(command)
        case Stats():
            return stats(command)
        case Filter():
            return filter_command.run(command)
        case WriteScenes():
            return write_scenes(command)
        case unknown:
            assert_never(unknown)


def stats(command: Stats) -> int:
    """Print what a source looks like; exit code 1 where an image cannot be read."""
    source = open_source(command.spec)
    tokenizer = counting_tokenizer([source], command.tokenizer, command.vocab_size)
    texts = caption_statistics(source, tokenizer, command.context_length)
    progress = Console(stderr=True)
    with open_index(command.index, is_off=command.no_index, console=progress) as index:
        pictures = image_statistics(findings_about(source, command.images, index, progress)[1])
    if command.json:
        left_out = [asdict(skipped) for skipped in skipped_samples(source)]
        record = {"source": source.name, **asdict(texts), "images": asdict(pictures), "skipped": left_out}
        print(json.dumps(record, indent=2))
    else:
        console = Console()
        console.print(_counts_table(source.name, texts, command.context_length))
        console.print(_spreads_table(texts, pictures))
        if left_out := skipped_samples(source):
            said = f"left out: {counted_reasons(left_out)}; sycoca data check names them"
            console.print(said, highlight=False, soft_wrap=True)
        for failure in pictures.failures:
            console.print(f"[red]unreadable:[/red] {escape(failure)}", highlight=False, soft_wrap=True)
    return 1 if pictures.failures else 0


def write_scenes(command: WriteScenes) -> int:
    """Write scenes and print where they are."""
    source = ScenesSource(
        level=command.level, count=command.count, seed=command.seed, split=command.split, size=command.size
    )
    samples = (source[i] for i in range(len(source)))
    console = Console(stderr=True)
    captions_path = write_samples(tracked(samples, len(source), "writing scenes", console=console), command.folder)
    if command.json:
        print(json.dumps({"captions": str(captions_path), "num_images": len(source)}))
    else:
        print(f"wrote {len(source)} scenes; use them as {captions_path}")
    return 0


def _counts_table(name: str, texts: CaptionStatistics, context_length: int) -> Table:
    table = Table("count", "value", title=name, title_justify="left")
    table.columns[1].justify = "right"
    for label, number in (
        ("samples", texts.num_samples),
        ("captions", texts.num_captions),
        ("different captions", texts.num_different_captions),
        ("different words", texts.num_words),
        ("class labels", texts.num_labels),
        ("questions", texts.num_questions),
    ):
        table.add_row(label, f"{number:,}")
    cut = f"{texts.num_truncated:,} ({texts.truncated_ratio:.2%})"
    table.add_row(f"captions over {context_length} tokens", cut)
    return table


def _spreads_table(texts: CaptionStatistics, pictures: ImageStatistics) -> Table:
    table = Table("per item", "least", "mean", "median", "most")
    for column in table.columns[1:]:
        column.justify = "right"
    rows: list[tuple[str, Spread | None]] = [
        ("captions per sample", texts.captions_per_sample),
        ("words per caption", texts.words_per_caption),
        ("tokens per caption", texts.tokens_per_caption),
        (f"width in pixels ({pictures.num_opened:,} opened)", pictures.widths),
        ("height in pixels", pictures.heights),
    ]
    for label, numbers in rows:
        if numbers is not None:
            table.add_row(
                label, f"{numbers.least:,}", f"{numbers.mean:,.1f}", f"{numbers.median:,}", f"{numbers.most:,}"
            )
    return table
