"""A worker: it holds a model and maps blocks, one after the other."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import final

from sycoca.data.loading.skipping import check_skipped
from sycoca.data.samples import SampleSource, num_lost_samples
from sycoca.inference.load import predictor_of
from sycoca.inference.model_options import ModelOptions
from sycoca.inference.predictor import Predictor
from sycoca.mapping.blocks import Block, blocks_of
from sycoca.mapping.folder import MapFolder
from sycoca.mapping.plan import Plan, check_unchanged
from sycoca.mapping.reading import ReadBatch, read_batches
from sycoca.mapping.settings import MapFormat
from sycoca.mapping.work import Batch, Data, Work
from sycoca.mapping.writing import Row
from sycoca.outputs.errors import LeaseLostError
from sycoca.outputs.manifest import verification
from sycoca.unusable import SkippedSample


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What a worker needs to begin: plain data, where weights and data are named, so that other processes get it."""

    work: Work
    weights: Predictor | str | Path
    data: Data
    out: Path
    format: MapFormat
    block_size: int | None
    max_skipped_ratio: float
    model: ModelOptions
    plan: Plan
    """What all workers have agreed on."""

    is_verifying: bool
    """Whether weights are compared with their manifest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockReport:
    """What became of a block."""

    num_samples: int
    num_rows: int
    num_truncated: int
    """Captions longer than the model reads."""

    skipped: Sequence[SkippedSample]


@dataclass(frozen=True, kw_only=True, slots=True)
class Advance:
    """Progress of a worker."""

    num_samples: int
    """Samples that are done since the last one."""

    report: BlockReport | None = None
    """The block that was finished with them."""


@final
class Worker:
    """A model, a source and the folder that their rows go to."""

    def __init__(self, job: Job, source: SampleSource, folder: MapFolder) -> None:
        """Load the model. Raises ValueError where it cannot do the work, or too many samples are skipped already."""
        self.folder = folder
        self._job = job
        self._source = source
        self._num_samples = len(source) + num_lost_samples(source)
        skipped = folder.skipped()
        self._num_lost = _num_lost(skipped)
        check_skipped(skipped, self._num_lost, self._num_samples, job.max_skipped_ratio)
        with verification(job.is_verifying):
            self._predictor = predictor_of(job.weights, job.model)
        job.work.facts.check(self._predictor.config)

    @classmethod
    def begin(cls, job: Job) -> "Worker":
        """Open what a job names, in a process of its own."""
        source = job.work.open(job.data)
        blocks = blocks_of(source, job.block_size)
        return cls(job, source, MapFolder(job.out, blocks, job.work.facts.columns, job.format))

    def map_block(self, block: Block) -> Generator[Advance, None, bool]:
        """Map a block and write its file; yield after each batch, and return whether it was this worker's.

        Raises ValueError where too many samples cannot be read, and OutputError where the folder is another map's now.
        """
        with self.folder.claim(block) as lease:
            if lease is None:
                return False
            rows: list[Row] = []
            skipped: list[SkippedSample] = []
            num_truncated = 0
            for read in self._batches(block):
                skipped += read.skipped
                self._check(skipped)
                if read.batch.samples:
                    rows += self._job.work.rows(self._predictor, read.batch)
                    num_truncated += self._num_truncated(read.batch)
                yield Advance(num_samples=read.num_read)
            check_unchanged(self._job.out, self._job.plan)
            with suppress(LeaseLostError):  # another worker writes the same rows
                self.folder.write(block, rows, skipped, lease)
        self._num_lost += _num_lost(skipped)
        report = BlockReport(num_samples=len(block), num_rows=len(rows), num_truncated=num_truncated, skipped=skipped)
        yield Advance(num_samples=0, report=report)
        return True

    def _batches(self, block: Block) -> Iterator[ReadBatch]:
        work, batch_size = self._job.work, self._job.model.batch_size
        return read_batches(self._source, block, self._predictor, batch_size, needs_images=work.facts.needs_images)

    def _check(self, skipped: Sequence[SkippedSample]) -> None:
        if skipped:
            lost = self._num_lost + _num_lost(skipped)
            check_skipped(skipped, lost, self._num_samples, self._job.max_skipped_ratio)

    def _num_truncated(self, batch: Batch) -> int:
        if not self._job.work.facts.reads_captions:
            return 0
        return self._predictor.num_truncated([text for sample in batch.samples for text in sample.captions])


def _num_lost(skipped: Iterable[SkippedSample]) -> int:
    return sum(not one.image_stays for one in skipped)
