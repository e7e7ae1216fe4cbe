"""Opens the files of a benchmark of hard negatives by its name."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeVar, assert_never, get_args

from sycoca.data.benchmarks.caption_choices import read_aro, read_sugar_crepe
from sycoca.data.benchmarks.pope import OBJECT_COUNTS, read_pope
from sycoca.data.benchmarks.records import Benchmark, CaptionChoice, PairOfPairs, YesNoQuestion
from sycoca.data.benchmarks.winoground import read_winoground
from sycoca.data.choices import check_choice
from sycoca.data.formats.image_files import ImageFiles, open_image_files
from sycoca.file_names import has_suffix

BenchmarkName = Literal["sugarcrepe", "aro", "winoground", "pope"]

BENCHMARK_NAMES: tuple[BenchmarkName, ...] = get_args(BenchmarkName)

_SUFFIXES = (".json", ".jsonl")

T = TypeVar("T", CaptionChoice, PairOfPairs, YesNoQuestion)


def open_benchmark(spec: str, images: Path) -> Benchmark:
    """Read NAME:PATH, a file of a benchmark or a folder of its files, whose images are in a folder or zip file.

    Raises ValueError for another name, where nothing is there to read, and for the first entry that is wrong.
    """
    name, separator, path = spec.partition(":")
    if not separator:
        raise ValueError(f"name the benchmark and its file, such as sugarcrepe:replace_obj.json, got {spec!r}")
    check_choice("the benchmark", name, BENCHMARK_NAMES)
    files, paths = open_image_files(images), _files_of(Path(path))
    match _benchmark_name(name):
        case "sugarcrepe":
            return _read(read_sugar_crepe, paths, files)
        case "aro":
            return _read(read_aro, paths, files)
        case "winoground":
            return _read(read_winoground, paths, files)
        case "pope":
            return _read(read_pope, paths, files)
        case unknown:
            assert_never(unknown)


def _benchmark_name(name: str) -> BenchmarkName:
    return next(known for known in BENCHMARK_NAMES if known == name)


def _files_of(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(
        one for one in path.iterdir() if has_suffix(one, *_SUFFIXES) and not one.name.endswith(OBJECT_COUNTS)
    )
    if not found:
        raise ValueError(f"{path} has no files of a benchmark, {' or '.join(_SUFFIXES)}")
    return found


def _read(read: Callable[[Path, ImageFiles], Iterator[T]], paths: list[Path], files: ImageFiles) -> list[T]:
    entries = [entry for path in paths for entry in read(path, files)]
    if not entries:
        raise ValueError(f"{', '.join(map(str, paths))} holds no entries")
    keys: set[str] = set()
    for entry in entries:
        if entry.key in keys:
            raise ValueError(f"{', '.join(map(str, paths))}: the key of {entry.key!r} stands twice")
        keys.add(entry.key)
    return entries
