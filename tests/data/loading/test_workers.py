"""Loader workers that die are replaced: no batch differs, and no signal interrupts the training process."""

import atexit
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from itertools import islice
from multiprocessing import util
from pathlib import Path

import pytest
from PIL import Image

from sycoca.data.loading.crops import CropBatch, TrainingCrops
from sycoca.data.loading.order import SamplePosition
from sycoca.data.loading.workers import MOST_DEATHS, CropReader, WorkerDeaths
from sycoca.data.samples import ImageTextSample
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.stop_signals import STOP_SIGNALS
from sycoca.unusable import SkippedSample, UnusableSampleError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")


class Pictures:
    """Pictures of which one cannot be read, and others end the worker that reads them, each once."""

    name = "pictures"

    def __init__(self, folder: Path, deadly: tuple[int, ...] = (), number: int = signal.SIGKILL) -> None:
        self.folder = folder
        self.deadly = deadly
        self.number = number

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> ImageTextSample:
        def open_image(_smallest_side: int | None = None) -> Image.Image:
            if index in self.deadly and multiprocessing.parent_process() is not None:
                try:
                    (self.folder / f"opened-{index}").touch(exist_ok=False)
                except FileExistsError:
                    pass
                else:
                    os.kill(os.getpid(), self.number)
            if index == 7:
                raise UnusableSampleError(SkippedSample(name="7", reason="broken image", detail="picture 7"))
            return Image.new("RGB", (9, 9), (index, 2 * index, 3))

        return ImageTextSample(key=str(index), captions=("a",), open_image=open_image)


def micro_batches(first: int) -> Iterator[list[SamplePosition]]:
    number = first
    while True:
        yield [divmod(3 * number + i, 40) for i in range(3)]
        number += 1


def reader_of(
    source: Pictures, num_workers: int, deaths: WorkerDeaths | None = None, *, image_size: int = 8
) -> CropReader:
    crops = TrainingCrops(source, ImageTransformConfig(crop_min_area=0.5, flips=True), image_size, 5, False)
    return CropReader(
        crops,
        micro_batches,
        2,
        num_workers=num_workers,
        pin_memory=False,
        deaths=WorkerDeaths() if deaths is None else deaths,
    )


def values(batch: CropBatch) -> tuple[object, ...]:
    assert batch.images is not None
    return batch.positions, batch.images.numpy().tobytes(), batch.skipped


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    reader = reader_of(Pictures(tmp_path_factory.mktemp("none")), 0)
    try:
        return [values(batch) for batch in islice(reader, 30)]
    finally:
        reader.close()


def children() -> list[int]:
    return [child.pid or 0 for child in multiprocessing.active_children()]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_the_batches_stay_the_same(
    tmp_path: Path, expected: list[tuple[object, ...]], number: signal.Signals, caplog: pytest.LogCaptureFixture
):
    deaths = WorkerDeaths("process 1: ")
    reader = reader_of(Pictures(tmp_path, deadly=(16, 33), number=number), 2, deaths)
    try:
        with caplog.at_level(logging.WARNING):
            found = [values(batch) for batch in islice(reader, 30)]
    finally:
        reader.close()
    assert found == expected
    assert not deaths.are_too_many
    assert len(caplog.messages) == 2
    for message in caplog.messages:
        assert message.startswith("process 1: loader worker ")
        assert message.endswith(f" ({number.name}) died; its batches are read again")


class DeathInFinalizer:
    def __init__(self, worker: int) -> None:
        self._worker = worker

    def __del__(self) -> None:
        os.kill(self._worker, signal.SIGKILL)
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            sum(range(1000))


class BatchesWithFinalizer:
    """Batches of which one is awaited while a worker dies in a finalizer, where Python drops what is raised."""

    def __init__(self, batches: Iterator[CropBatch], worker: int) -> None:
        self._batches = batches
        self._worker = worker

    def __next__(self) -> CropBatch:
        DeathInFinalizer(self._worker)
        while True:
            next(self._batches)  # those that the worker had read before


@pytest.mark.slow
def test_a_death_that_a_finalizer_hides_is_noticed_all_the_same(tmp_path: Path, expected: list[tuple[object, ...]]):
    reader = reader_of(Pictures(tmp_path), 1)
    try:
        found = [values(next(reader))]
        reader._batches = BatchesWithFinalizer(reader._batches, children()[0])
        found += [values(batch) for batch in islice(reader, 3)]
    finally:
        reader.close()
    assert found == expected[:4]


def test_after_too_many_deaths_the_process_reads_itself(
    tmp_path: Path, expected: list[tuple[object, ...]], caplog: pytest.LogCaptureFixture
):
    deaths = WorkerDeaths()
    reader = reader_of(Pictures(tmp_path, deadly=tuple(range(12, 12 + 9 * MOST_DEATHS, 9))), 1, deaths)
    try:
        assert [values(batch) for batch in islice(reader, 30)] == expected
        assert not children()
    finally:
        reader.close()
    assert deaths.are_too_many
    assert len(caplog.messages) == MOST_DEATHS
    assert caplog.messages[-1].endswith(" died; its batches are read again in the training process")


def test_a_death_interrupts_nothing_but_waiting_for_a_batch(tmp_path: Path, expected: list[tuple[object, ...]]):
    before = signal.getsignal(signal.SIGCHLD)
    reader = reader_of(Pictures(tmp_path), 2)
    try:
        found = [values(next(reader))]
        for worker in children():
            os.kill(worker, signal.SIGKILL)
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline:
            sum(range(1000))  # a handler that raises would do so here
        found += [values(batch) for batch in islice(reader, 9)]
    finally:
        reader.close()
    assert found == expected[:10]
    assert signal.getsignal(signal.SIGCHLD) in (before, reader._old_handler)
    assert not children()


def test_an_error_of_the_data_is_no_death(tmp_path: Path):
    reader = reader_of(Pictures(tmp_path), 1, image_size=-1)
    try:
        with pytest.raises(ValueError, match="worker process 0"):
            next(reader)
    finally:
        reader.close()


def test_signals_to_stop_do_not_end_workers(tmp_path: Path, expected: list[tuple[object, ...]]):
    deaths = WorkerDeaths()
    reader = reader_of(Pictures(tmp_path), 2, deaths)
    try:
        found = [values(batch) for batch in islice(reader, 2)]  # one of each worker, so both are ready
        workers = children()
        for number in STOP_SIGNALS:
            for worker in workers:
                os.kill(worker, number)
        time.sleep(0.1)
        found += [values(batch) for batch in islice(reader, 8)]
        assert children() == workers
    finally:
        reader.close()
    assert found == expected[:10]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere they notice it after 5 seconds")
def test_workers_end_with_a_killed_process(tmp_path: Path):
    read, write = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            reader = reader_of(Pictures(tmp_path), 2)
            next(reader)
            os.write(write, " ".join(map(str, children())).encode())
            time.sleep(60)
        finally:
            os._exit(1)
    os.close(write)
    workers = [int(worker) for worker in os.read(read, 100).split()]
    os.close(read)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    assert len(workers) == 2
    deadline = time.monotonic() + 3
    while any(is_running(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_error_that_nobody_handles_ends_the_process(tmp_path: Path):
    process = os.fork()
    if process == 0:
        try:
            atexit._clear()  # what pytest does at its exit
            atexit.register(util._exit_function)
            reader = reader_of(Pictures(tmp_path), 2)
            next(reader)
            atexit._run_exitfuncs()  # the reader was not closed
            os._exit(7)
        finally:
            os._exit(1)
    deadline = time.monotonic() + 5
    status = 0, 0
    while status == (0, 0):
        if time.monotonic() > deadline:
            os.kill(process, signal.SIGKILL)
        time.sleep(0.02)
        status = os.waitpid(process, os.WNOHANG)
    assert os.waitstatus_to_exitcode(status[1]) == 7


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
