"""Reading shards through the packed index against reading them from end to end with Python's tarfile.

Both decode the same JPEG images to RGB and read the same captions, in turns, with the files in the page cache (warm)
and dropped from it (cold). Through the index the samples are read in the order of the files, and in that of training,
whose blocks are read ahead. Prints images per second, and the medians of the ratios of neighboring turns, as JSON.

Decoding takes up to 1.8 times as long where memory lies badly, which is chance, and stays so for all images of one size
in one loop of a process. So memory is kept as in training (`keep_freed_memory`), and images differ in size.
"""

import argparse
import io
import json
import os
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sycoca.data.loading.order import SampleOrder, keyed_order
from sycoca.data.loading.reading_ahead import RunningReadAhead, reading_ahead
from sycoca.data.spec import open_source
from sycoca.preprocess.decoding import open_rgb
from sycoca.training.engine.allocator import keep_freed_memory

Read = Callable[[], int]
"""Reads all samples and returns their number."""

_BATCH_SIZE = 64


def main() -> None:
    """Write shards, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=4, help="tar files")
    parser.add_argument("--samples", type=int, default=250, help="samples of each")
    parser.add_argument("--side", type=int, default=256, help="mean pixels of an image's side")
    parser.add_argument("--turns", type=int, default=7, help="turns of each way to read")
    options = parser.parse_args()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number:05d}.tar" for number in range(options.shards)]
        for number, path in enumerate(paths):
            _write(path, number, options.samples, options.side)
        ways = _ways(folder, paths)
        report = {
            state: _compared(ways, paths, options.turns, is_cold=is_cold)
            for state, is_cold in (("warm", False), ("cold", True))
        }
        size = sum(path.stat().st_size for path in paths) / options.shards / options.samples
    print(json.dumps({"bytes_per_sample": round(size), **report}, indent=2))


def _write(path: Path, shard: int, num_samples: int, side: int) -> None:
    generator = np.random.default_rng(shard)
    with tarfile.open(path, "w") as tar:
        for number in range(num_samples):
            small = generator.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
            file = io.BytesIO()
            size = generator.integers(side * 3 // 4, side * 5 // 4, 2).tolist()
            Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
            key = f"{shard * 10_000 + number:09d}"
            for name, content in ((f"{key}.jpg", file.getvalue()), (f"{key}.txt", b"a caption of some words")):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


def _ways(folder: str, paths: Sequence[Path]) -> Mapping[str, Read]:
    source = open_source(f"shards:{folder}")
    order = keyed_order(source, seed=0)

    def read(index: int) -> bool:
        sample = source[index]
        sample.open_image()
        return bool(sample.captions)

    def indexed(indices: Iterable[int]) -> int:
        return sum(map(read, indices))

    def trained() -> int:
        with reading_ahead(source, order, 0) as ahead:
            return indexed(_batches(order, ahead, len(source)))

    return {
        "tarfile": lambda: sum(map(_read_with_tarfile, paths)),
        "in_order": lambda: indexed(range(len(source))),
        "in_training_order": trained,
    }


def _batches(order: SampleOrder, ahead: RunningReadAhead, num_samples: int) -> Iterator[int]:
    for first in range(0, num_samples, _BATCH_SIZE):
        ahead.advance(first)
        for _, index in order.positions(first, min(_BATCH_SIZE, num_samples - first)):
            yield index


def _read_with_tarfile(path: Path) -> int:
    number = 0
    with tarfile.open(path) as tar:
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            content = file.read()
            if member.name.endswith(".jpg"):
                open_rgb(io.BytesIO(content), member.name)
                number += 1
            else:
                content.decode()
    return number


def _compared(ways: Mapping[str, Read], paths: Sequence[Path], turns: int, *, is_cold: bool) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    number = 0
    for turn in range(turns + 1):
        for name, read in list(ways.items())[:: 1 if turn % 2 else -1]:
            if is_cold:
                _drop(paths)
            started_at = time.perf_counter()
            number = read()
            seconds[name].append(time.perf_counter() - started_at)
    own = {name: times[1:] for name, times in seconds.items()}  # the first turn warms up
    rates = {f"{name}_images_per_second": number / statistics.median(times) for name, times in own.items()}
    ratios = {
        f"{name}_over_tarfile": statistics.median(a / b for a, b in zip(times, own["tarfile"], strict=True))
        for name, times in own.items()
        if name != "tarfile"
    }
    return {name: round(value, 3) for name, value in {**rates, **ratios}.items()}


def _drop(paths: Sequence[Path]) -> None:
    """Drop the files from the page cache."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


if __name__ == "__main__":
    main()
