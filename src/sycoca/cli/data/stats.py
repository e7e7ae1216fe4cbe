"""``sycoca data stats``: count captions, words, tokens, labels and questions, and measure images."""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, arg

from sycoca.cli.data.inspected import NumImages, counting_tokenizer, findings_about, open_cache
from sycoca.cli.shared.logs import stderr_console
from sycoca.data.inspection.statistics import (
    CaptionStatistics,
    ImageStatistics,
    Spread,
    caption_statistics,
    image_statistics,
)
from sycoca.data.loading.skipping import counted_reasons
from sycoca.data.samples import remarks_on, skipped_samples
from sycoca.data.spec import open_source
from sycoca.terminal import plain, say, show_table

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Count captions, words, tokens, labels and questions, and measure some of the images."""

    spec: Positional[str]
    """The data: scenes:?level=easy, photos.jsonl?split=train, a folder of class folders or another SPEC."""

    tokenizer: Path | None = None
    """The tokenizer that counts tokens; None trains one on the captions."""

    vocab_size: int = 8192
    """Largest vocabulary of a tokenizer that is trained here."""

    context_length: int = 76
    """Longest caption in tokens; longer ones count as truncated."""

    images: Annotated[NumImages, arg(metavar="N|all")] = 100
    """Number of images to open, evenly spaced."""

    cache: Annotated[Path | None, arg(metavar="FILE", aliases=["--index"])] = None
    """Cache of what is known of each image; None is sycoca/images.sqlite in your cache folder."""

    no_cache: Annotated[bool, arg(aliases=["--no-index"])] = False
    """Open every image again, and cache nothing."""

    json: bool = False
    """Print JSON instead of tables."""

    def run(self) -> int:
        """Print the statistics; exit code 1 if an image cannot be read."""
        with open_cache(self.cache, is_off=self.no_cache) as cache:
            source = open_source(self.spec)
            tokenizer = counting_tokenizer([source], self.tokenizer, self.vocab_size)
            texts = caption_statistics(source, tokenizer, self.context_length)
            pictures = image_statistics(findings_about(source, self.images, cache, stderr_console())[1])
        for remark in remarks_on(source):
            logger.warning(remark)
        if self.json:
            left_out = [asdict(skipped) for skipped in skipped_samples(source)]
            record = {"source": source.name, **asdict(texts), "images": asdict(pictures), "skipped": left_out}
            print(json.dumps(record, indent=2))
        else:
            console = Console()
            show_table(console, _counts_table(source.name, texts, self.context_length))
            show_table(console, _spreads_table(texts, pictures))
            if left_out := skipped_samples(source):
                say(console, f"left out: {counted_reasons(left_out)}; sycoca data check names them")
            for failure in pictures.failures:
                say(console, f"unreadable: {failure}", style="red")
        return 1 if pictures.failures else 0


def _counts_table(name: str, texts: CaptionStatistics, context_length: int) -> Table:
    table = Table("count", "value", title=plain(name, style="table.title"), title_justify="left")
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
