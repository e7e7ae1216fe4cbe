"""Batches of samples for all evaluations."""

from collections.abc import Iterator

from rich.console import Console

from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.evaluation.sharding import ALONE, Sharding
from sycoca.progress_bar import tracked


def num_evaluated(source: SampleSource, limit: int | None) -> int:
    """Return how many samples are evaluated: all, or the first ``limit``.

    Raises ValueError for a source without samples and a limit below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}; leave it out for all samples")
    if len(source) == 0:
        raise ValueError(f"{source.name} has no samples, so there is nothing to evaluate")
    return len(source) if limit is None else min(limit, len(source))


def sample_batches(
    source: SampleSource,
    num_samples: int,
    batch_size: int,
    description: str,
    *,
    console: Console | None,
    sharding: Sharding = ALONE,
) -> Iterator[list[ImageTextSample]]:
    """Yield this rank's shard of the first samples in order, batch by batch, with progress on the console if any."""
    own = sharding.own(num_samples)
    starts = range(own.start, own.stop, batch_size)
    for start in tracked(starts, len(own), description, console=console, step=batch_size):
        yield [source[index] for index in range(start, min(start + batch_size, own.stop))]
