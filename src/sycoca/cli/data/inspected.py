"""Shared by ``sycoca data check`` and ``sycoca data stats``: inspection of images, counting of tokens."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console

from sycoca.data.inspection.finding_cache import Finding, FindingCache, default_cache_path
from sycoca.data.inspection.image_inspection import inspect_images
from sycoca.data.inspection.statistics import all_captions
from sycoca.data.samples import SampleSource
from sycoca.data.selection import TOKENIZER_SAMPLES, evenly_spread, spread_if_large
from sycoca.preprocess.config import TokenizerConfig
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.progress_bar import tracked

logger = logging.getLogger(__name__)

NumImages = Literal["all"] | int
"""Number of images to open, evenly spread."""


def places_to_open(source: SampleSource, num_images: NumImages) -> list[int]:
    """Return the indices of the images to open. Raises ValueError for a negative number."""
    if num_images != "all" and num_images < 0:
        raise ValueError(f"the number of images to open must be at least 0, got {num_images}")
    return evenly_spread(len(source), len(source) if num_images == "all" else num_images)


def findings_about(
    source: SampleSource, num_images: NumImages, cache: FindingCache, console: Console
) -> tuple[list[int], list[Finding]]:
    """Inspect images of a source with a progress bar; return their indices and the findings."""
    places = places_to_open(source, num_images)
    return places, with_progress(inspect_images(source, cache, places), source, len(places), console)


def with_progress(findings: Iterator[Finding], source: SampleSource, number: int, console: Console) -> list[Finding]:
    """Return findings as a list, with a progress bar meanwhile."""
    return list(tracked(findings, number, f"images of {source.name}", console=console))


def open_cache(path: Path | None, *, is_off: bool) -> FindingCache:
    """Open the cache of findings that the options name."""
    where = None if is_off else default_cache_path() if path is None else path
    return FindingCache(where)


def counting_tokenizer(sources: Sequence[SampleSource], path: Path | None, vocab_size: int) -> Tokenizer:
    """Return the tokenizer of a file, or one trained on the captions, of a large source on those of some samples."""
    if path is not None:
        return Tokenizer.load(path)
    read = [spread_if_large(source, TOKENIZER_SAMPLES) for source in sources]
    for one, source in zip(read, sources, strict=True):
        if one is not source:
            logger.info(f"tokens: counted by a tokenizer trained on {len(one):,} of {len(source):,} samples")
    captions = [caption for source in read for caption in all_captions(source)]
    # With questions or labels only there are no captions to count, so any tokenizer will do.
    return Tokenizer.train(captions or [""], TokenizerConfig(vocab_size=vocab_size))
