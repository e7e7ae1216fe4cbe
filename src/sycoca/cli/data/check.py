"""``sycoca data check``: find what is wrong with data sets, within each and across them."""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from tyro.conf import Positional

from sycoca.cli.data.inspected import NumImages, counting_tokenizer, findings_about, open_index
from sycoca.cli.shared.logs import stderr_console
from sycoca.data.inspection.check import DataCheck, check_set, duplicates_among
from sycoca.data.inspection.check_headlines import headlines
from sycoca.data.samples import SampleSource
from sycoca.data.spec import open_source
from sycoca.plain_data import write_text
from sycoca.reports.data_page import save_data_page

logger = logging.getLogger(__name__)

_MOST_LINES = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Find broken files, odd captions and pictures that occur twice, within and across data sets.

    A file's splits count as parts of their own, as do several SPECs: sycoca data check train.csv test.csv.
    Exit code 1 where something is broken or two parts share a picture, 0 otherwise.
    """

    specs: Positional[tuple[str, ...]]
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

    no_index: bool = False
    """Look at every image anew and remember nothing."""

    json: bool = False
    """Print JSON instead of text."""

    def run(self) -> int:
        """Check, and print what was found; exit code 1 if something is broken or two parts share a picture."""
        if not self.specs:
            raise ValueError("sycoca data check needs one SPEC or more, such as photos.jsonl?split=train")
        sources = [open_source(spec) for spec in self.specs]
        result = _check(self, sources)
        record = json.dumps({**asdict(result), "is_clean": result.is_clean}, indent=2)
        if self.json:
            print(record)
        else:
            _print(result)
        if self.out is not None:
            is_page = self.out.suffix.lower() in (".html", ".htm")
            page = self.out if is_page else self.out / "check.html"
            save_data_page(result, sources, page)
            if not is_page:
                write_text(self.out / "check.json", record)
            logger.info(f"wrote {page}")
        return 0 if result.is_clean else 1


def _check(command: Arguments, sources: list[SampleSource]) -> DataCheck:
    console = stderr_console()
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
