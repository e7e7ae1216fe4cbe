"""Unusable samples: each is recorded once by name, and too many are an error."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Reversible, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, final

from sycoca.data.choices import check_skipped_ratio
from sycoca.data.samples import (
    ImageTextSample,
    SampleSource,
    num_lost_samples,
    remarks_on,
    skipped_samples,
    source_repr,
)
from sycoca.json_lines import ResumableLines, read_records
from sycoca.outputs.record_lines import Record
from sycoca.progress_bar import tracked
from sycoca.texts import has_surrogates
from sycoca.unusable import SkippedSample, UnusableSampleError

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger(__name__)


@final
class SkipLog:
    """The samples of a source that were left out so far, by name; also in a file, where it has a path."""

    def __init__(
        self, source: SampleSource, max_ratio: float, path: Path | None = None, *, resumes: bool = True
    ) -> None:
        """Start with the samples that the source has left out, and with those in the file of an interrupted run.

        Without ``resumes`` all samples are read again, and the file is emptied. Raises ValueError, here and in ``add``,
        where more than ``max_ratio`` of all samples cannot be used. Those of the file do not count until they fail
        again, since they may have been repaired.
        """
        check_skipped_ratio(max_ratio)
        in_source = skipped_samples(source)
        self._num_samples = len(source) + num_lost_samples(source)
        self._max_ratio = max_ratio
        self._file = None if path is None else ResumableLines(path, resume=True, accepts=_is_record)
        if self._file is not None and not resumes:
            self._file.keep(0)
        self._by_name = {} if self._file is None else _by_name(self._file.records)
        self._num_lost = sum(not skipped.image_stays for skipped in self._by_name.values())
        self._failed: dict[str, SkippedSample] = {}
        """Those that have failed since then, or were left out by the source; by name."""
        self._new: list[SkippedSample] = []
        self._take(in_source)

    def __len__(self) -> int:
        return len(self._by_name)

    @property
    def skipped(self) -> Sequence[SkippedSample]:
        """All samples that were left out, in the order of their discovery."""
        return list(self._by_name.values())

    def add(self, skipped: SkippedSample) -> None:
        """Record a sample, unless it is recorded already."""
        self._new += self._take([skipped])

    @property
    def num_lost(self) -> int:
        """How many samples are left out as a whole; a caption that is left out of an image that stays is none."""
        return self._num_lost

    def take_new(self) -> Sequence[SkippedSample]:
        """Return the samples that have failed since the last call.

        Those that the source has left out are not among them: whoever has opened it knows them.
        """
        new, self._new = self._new, []
        return new

    def summary(self) -> str:
        """Return one line that says how many samples, and captions of others, were left out, and why."""
        lost = [skipped for skipped in self.skipped if not skipped.image_stays]
        captions = [skipped for skipped in self.skipped if skipped.image_stays]
        parts = []
        if lost or not captions:
            parts.append(f"{len(lost):,} of {self._num_samples:,} samples skipped: {counted_reasons(lost)}")
        if captions:
            parts.append(f"{len(captions):,} captions of other images left out: {counted_reasons(captions)}")
        return "; ".join(parts)

    def _take(self, samples: Iterable[SkippedSample]) -> list[SkippedSample]:
        """Count those samples that have not failed before, and return them.

        Those that are not recorded yet are recorded, in the file with one write.
        """
        failed: list[SkippedSample] = []
        unrecorded: list[SkippedSample] = []
        num_lost = sum(not one.image_stays for one in self._failed.values())
        try:
            for skipped in samples:
                if skipped.name in self._failed:
                    continue
                self._failed[skipped.name] = skipped
                num_lost += not skipped.image_stays
                failed.append(skipped)
                if skipped.name not in self._by_name:
                    self._by_name[skipped.name] = skipped
                    self._num_lost += not skipped.image_stays
                    unrecorded.append(skipped)
                check_skipped(self._failed.values(), num_lost, self._num_samples, self._max_ratio)
        finally:
            if self._file is not None and unrecorded:
                self._file.append(*map(asdict, unrecorded))
        return failed


def check_skipped(skipped: Reversible[SkippedSample], num_lost: int, num_samples: int, max_ratio: float) -> None:
    """Raise ValueError where more samples are lost than the ratio allows; it names the last of the ``skipped``."""
    if num_lost > max_ratio * num_samples:
        last = next(one for one in reversed(skipped) if not one.image_stays)
        raise ValueError(
            f"{last.detail} ({num_lost:,} of {num_samples:,} samples cannot be used, more than"
            f" max_skipped_ratio {max_ratio:g} allows: repair them or allow more)"
        )


def counted_reasons(skipped: Iterable[SkippedSample]) -> str:
    """Return the reasons with their numbers, the most frequent first."""
    return ", ".join(f"{count:,} {reason}" for reason, count in Counter(one.reason for one in skipped).most_common())


def read_skipped(path: Path) -> list[SkippedSample]:
    """Return the samples of a ``skipped.jsonl``, without damaged lines; none where there is no such file."""
    return list(_by_name(read_records(path, _is_record)).values())


@final
class UsableSamples:
    """The samples of a source whose images can be read; the others are in ``skipped``."""

    def __init__(self, source: SampleSource, log: SkipLog, problems: Iterable[SkippedSample | None]) -> None:
        """Take the first samples of a source, one per entry of ``problems`` (see `image_problems`).

        Raises ValueError where they are more than the ``log`` allows, and where no sample is left.
        """
        self.name = source.name
        self.remarks = remarks_on(source)
        self._source = source
        self._indices: list[int] = []
        for index, problem in enumerate(problems):
            if problem is None:
                self._indices.append(index)
            else:
                log.add(problem)
        self.skipped = log.skipped
        if not self._indices:
            first = f"; the first: {self.skipped[0].detail}" if self.skipped else ""
            raise ValueError(f"{source.name} has no sample that can be used: {counted_reasons(self.skipped)}{first}")

    def __repr__(self) -> str:
        return source_repr(self)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> ImageTextSample:
        return self._source[self._indices[index]]


def usable_source(
    source: SampleSource,
    max_skipped_ratio: float,
    *,
    limit: int | None = None,
    path: Path | None = None,
    console: "Console | None" = None,
) -> SampleSource:
    """Return a source without the samples that cannot be used, each of which is counted and logged.

    With a ``max_skipped_ratio`` of 0 that is the source itself, and the first image that cannot be read will be an
    error; otherwise the first ``limit`` images are opened once. ``path``: a file for the samples that are left out, a
    JSON line each. Raises ValueError where more are left out than ``max_skipped_ratio`` of all samples, and where none
    remains.
    """
    check_skipped_ratio(max_skipped_ratio)
    if max_skipped_ratio == 0:
        SkipLog(source, max_skipped_ratio)  # raises where the source itself has left samples out
        return source
    num_samples = len(source) if limit is None else min(limit, len(source))
    problems = tracked(image_problems(source, range(num_samples)), num_samples, "checking images", console=console)
    log = SkipLog(source, max_skipped_ratio, path, resumes=False)
    usable = UsableSamples(source, log, problems)
    for skipped in log.skipped:
        logger.info("skipped: %s", skipped.detail)
    if log.skipped:
        logger.warning(log.summary())
    return usable


def image_problems(source: SampleSource, indices: Iterable[int]) -> Iterator[SkippedSample | None]:
    """Open the images of those samples and yield the problem of each, None where it can be read."""
    with ThreadPoolExecutor() as pool:  # decoding releases the GIL
        yield from pool.map(lambda index: _image_problem(source[index]), indices)


def _image_problem(sample: ImageTextSample) -> SkippedSample | None:
    try:
        sample.open_image()
    except UnusableSampleError as error:
        return named(error, sample)
    return None


def named(error: UnusableSampleError, sample: ImageTextSample) -> SkippedSample:
    """Return the problem under the sample's own name, since one image may belong to several samples."""
    return replace(error.skipped, name=sample.key)


def _by_name(records: Iterable[Record]) -> dict[str, SkippedSample]:
    return {record["name"]: SkippedSample(**record) for record in records}


def _is_record(record: Record) -> bool:
    stays = record.get("image_stays", False)
    names = {field.name for field in fields(SkippedSample)}
    texts = [record.get(name) for name in names - {"image_stays"}]
    is_text = all(isinstance(text, str) and not has_surrogates(text) for text in texts)
    return is_text and isinstance(stays, bool) and record.keys() <= names
