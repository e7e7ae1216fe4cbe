"""Open a table of Hugging Face `datasets`: a data set of the Hub, one that was saved to disk, or Parquet files.

The library is an extra, imported only when such data are opened. The network is used for ``hf:owner/name`` and nothing
else; a path that exists is never looked up at the Hub.
"""

import logging
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar, assert_never

from sycoca.data.choices import check_choice
from sycoca.file_names import existing, has_suffix
from sycoca.texts import normal_form, normal_names, shortened

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

T = TypeVar("T")

logger = logging.getLogger(__name__)

_REPOSITORY = re.compile(r"([\w.-]+(?:/[\w.-]+)?)(?:@(.+))?")
_UNNAMED = "train"
"""Split of the Parquet files whose names have none, beside others."""

_PART_OF_SPLIT = re.compile(r"(.+?)-\d{5}-of-\d{5}.*")
"""Names of Parquet files as the Hub has them: train-00000-of-00012.parquet."""

Place = Literal["parquet", "folder", "hub"]
"""Where a data set is: in Parquet files, in a folder of `save_to_disk`, or at the Hub."""


class OpenedTable(NamedTuple):
    """A table, and what is left to choose in it."""

    table: "Dataset"
    """The rows, memory-mapped."""

    split: str | None
    """The split whose rows are still to be chosen; None where the table is that of the split, or all is wanted."""


def open_table(name: str, *, config: str | None, split: str | None) -> OpenedTable:
    """Return the table of a data set's split.

    Args:
        name: a folder that ``save_to_disk`` has written, a Parquet file or a folder of them; or owner/name[@revision].
        config: the configuration of a data set at the Hub that has several.
        split: the split, where there are several.

    Raises ValueError where there is no such data set, configuration or split, and without the extra.
    """
    library = _library()
    place, path = _place_of(name)
    if config is not None and place != "hub":
        raise ValueError(f"hf:{name} is local and has no configurations; leave ?config= out")
    match place:
        case "parquet":
            return _of_parquet(library, name, path, split)
        case "folder":
            return _of_split(name, _loaded(name, lambda: library.load_from_disk(str(path))), split)
        case "hub":
            return _of_split(name, _fetched(library, name, config), split)
        case unknown:
            assert_never(unknown)


def _library() -> ModuleType:
    try:
        import datasets
    except ImportError as error:
        raise ValueError("hf: and Parquet files need datasets: pip install 'sycoca[datasets]'") from error
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    return datasets


def _place_of(name: str) -> tuple[Place, Path]:
    if not name:
        raise ValueError("hf: needs a name: hf:owner/name for the Hub, a folder of save_to_disk, or Parquet files")
    path = Path(existing(name))
    if path.is_dir():
        is_saved = any((path / file).is_file() for file in ("dataset_dict.json", "state.json"))
        return ("folder" if is_saved else "parquet"), path
    if path.is_file():
        return "parquet", path
    if has_suffix(name, ".parquet"):
        raise ValueError(f"there is no file {name!r}")
    return "hub", path


def _of_parquet(library: ModuleType, name: str, path: Path, split: str | None) -> OpenedTable:
    """Return the rows of Parquet files, which are copied to the library's cache so that they can be memory-mapped."""
    files = _files_by_split(path)
    if not files:
        raise ValueError(f"hf:{name}: there are no Parquet files, nor a data set that save_to_disk has written")
    chosen = None if list(files) == [None] else _chosen(name, [one or _UNNAMED for one in files], split)
    logger.info("hf:%s: reading into %s, where it stays", name, library.config.HF_DATASETS_CACHE)
    wanted = _loaded(name, lambda: _with_rows(files.get(chosen) or files[None]))
    if not wanted:
        raise ValueError(f"hf:{name} has no rows")
    table = _loaded(name, lambda: library.Dataset.from_parquet(wanted))
    return OpenedTable(table, split if chosen is None else None)


def _with_rows(files: Sequence[Path]) -> list[str]:
    """Return the names of files without those of no rows, which the library does not read."""
    from pyarrow import parquet

    return [str(file) for file in files if parquet.read_metadata(file).num_rows > 0]


def _files_by_split(path: Path) -> Mapping[str | None, Sequence[Path]]:
    """Return Parquet files by the split in their names, None for those without one."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if has_suffix(file, ".parquet"))
    found: dict[str | None, list[Path]] = {}
    for file in files:
        part = _PART_OF_SPLIT.fullmatch(file.stem)
        found.setdefault(part[1] if part else None, []).append(file)
    return found


def _fetched(library: ModuleType, name: str, config: str | None) -> "Dataset | DatasetDict":
    repository = _REPOSITORY.fullmatch(name)
    if repository is None:
        raise ValueError(f"hf:{name}: there is no such path, and the Hub's names are owner/name[@revision]")
    cache = library.config.HF_DATASETS_CACHE
    logger.info("hf:%s: fetched from the Hugging Face Hub, unless it is in %s already", name, cache)
    return _loaded(name, lambda: library.load_dataset(repository[1], config, revision=repository[2]))


def _loaded(name: str, load: Callable[[], T]) -> T:
    """Return what the library loads; its errors, which are of many kinds, become one line."""
    try:
        return load()
    except Exception as error:
        reason = shortened(" ".join(str(error).split()) or type(error).__name__)
        raise ValueError(f"hf:{name} cannot be loaded: {reason}") from error


def _of_split(name: str, loaded: "Dataset | DatasetDict", split: str | None) -> OpenedTable:
    if not isinstance(loaded, dict):
        return OpenedTable(loaded, split)
    return OpenedTable(loaded[_chosen(name, [str(one) for one in loaded], split)], None)


def _chosen(name: str, splits: Sequence[str], split: str | None) -> str:
    if split is None and len(splits) > 1:
        raise ValueError(f"hf:{name} has the splits {', '.join(splits)}; choose one with ?split={splits[0]}")
    if split is None:
        return splits[0]
    stored = dict(zip(normal_names(splits), splits, strict=True))
    chosen = split if split in stored else normal_form(split)
    check_choice(f"hf:{name}: split", chosen, stored)
    return stored[chosen]
