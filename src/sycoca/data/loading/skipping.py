"""Samples that cannot be used: each is counted once and by name, and too many of them are an error."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import final

from sycoca.data.samples import ImageTextSample, SampleSource, skipped_samples
from sycoca.plain_data import write_text
from sycoca.unusable import SkippedSample, UnusableSampleError


@final
class SkipLog:
    """What has been left out of a source so far, by name; in memory and, where it has a path, in a file."""

    def __init__(self, source: SampleSource, max_ratio: float, path: Path | None = None) -> None:
        """Begin with what the source has left out itself, and with what an interrupted run has written down.

        Raises ValueError, here and in ``add``, where that is more than ``max_ratio`` of all samples.
        """
        in_source = skipped_samples(source)
        self._num_samples = len(source) + len(in_source)
        self._max_ratio = max_ratio
        self._path = path
        self._by_name = {} if path is None else _taken_up(path)
        self._num_taken = 0
        self._check()
        for skipped in in_source:
            self.add(skipped)

    def __len__(self) -> int:
        return len(self._by_name)

    @property
    def skipped(self) -> Sequence[SkippedSample]:
        """All of them, in the order in which they were found."""
        return list(self._by_name.values())

    def add(self, skipped: SkippedSample) -> None:
        """Count a sample; one that is known already is not counted again."""
        if skipped.name in self._by_name:
            return
        self._by_name[skipped.name] = skipped
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(_line(skipped))
        self._check()

    def take_new(self) -> Sequence[SkippedSample]:
        """Return what has come since the last call."""
        new = self.skipped[self._num_taken :]
        self._num_taken = len(self)
        return new

    def summary(self) -> str:
        """Return one line that says how many were left out, and why."""
        return f"{len(self):,} of {self._num_samples:,} samples skipped: {counted_reasons(self.skipped)}"

    def _check(self) -> None:
        if len(self) > self._max_ratio * self._num_samples:
            raise ValueError(
                f"{self.skipped[-1].detail} ({len(self):,} of {self._num_samples:,} samples cannot be used, more than"
                f" max_skipped_ratio {self._max_ratio:g} allows: repair them or allow more)"
            )


def counted_reasons(skipped: Iterable[SkippedSample]) -> str:
    """Return every reason with its number, the most frequent first."""
    return ", ".join(f"{count:,} {reason}" for reason, count in Counter(one.reason for one in skipped).most_common())


def read_skipped(path: Path) -> list[SkippedSample]:
    """Return the samples of a ``skipped.jsonl``, without a last line that a killed run left unfinished."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [SkippedSample(**json.loads(line)) for line in lines if line.endswith("\n")]


@final
class UsableSamples:
    """The samples of a source whose images can be read; the others are in ``skipped``."""

    def __init__(self, source: SampleSource, log: SkipLog, problems: Iterable[SkippedSample | None]) -> None:
        """Take the first samples of a source, as many as there are ``problems`` or None for (see `image_problems`).

        Raises ValueError where they are more than the ``log`` allows, and where no sample is left.
        """
        self.name = source.name
        self._source = source
        self._indices: list[int] = []
        for index, problem in enumerate(problems):
            if problem is None:
                self._indices.append(index)
            else:
                log.add(problem)
        self.skipped = log.skipped
        if not self._indices:
            raise ValueError(f"{source.name} has no sample that can be used: {counted_reasons(self.skipped)}")

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> ImageTextSample:
        return self._source[self._indices[index]]


def image_problems(source: SampleSource, indices: Iterable[int]) -> Iterator[SkippedSample | None]:
    """Open the images of those samples; yield why one cannot be read, None where it can."""
    with ThreadPoolExecutor() as pool:  # decoding leaves Python's lock to others
        yield from pool.map(lambda index: _image_problem(source[index]), indices)


def _image_problem(sample: ImageTextSample) -> SkippedSample | None:
    try:
        sample.open_image()
    except UnusableSampleError as error:
        return named(error, sample)
    return None


def named(error: UnusableSampleError, sample: ImageTextSample) -> SkippedSample:
    """Return what is wrong under the sample's own name: one image may belong to several samples."""
    return replace(error.skipped, name=sample.key)


def _taken_up(path: Path) -> dict[str, SkippedSample]:
    """Return what a file holds, and free it from a last line that a killed run left unfinished."""
    known = read_skipped(path)
    if known:
        write_text(path, "".join(map(_line, known)))
    return {skipped.name: skipped for skipped in known}


def _line(skipped: SkippedSample) -> str:
    return json.dumps(asdict(skipped), ensure_ascii=False) + "\n"
