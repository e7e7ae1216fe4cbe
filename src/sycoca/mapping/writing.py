"""Output files: rows as JSON lines or Parquet, and embeddings as the arrays that ``sycoca embed`` writes."""

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, assert_never

import numpy as np

from sycoca.evaluation.embedding_files import write_arrays
from sycoca.mapping.settings import MapFormat
from sycoca.outputs.atomic import atomic_file

if TYPE_CHECKING:
    import pyarrow

Row = Mapping[str, Any]
"""A row by the names of its columns; vectors are float32 arrays."""

ColumnKind = Literal["text", "number", "vector", "texts", "numbers", "vectors"]
"""What a column holds; numbers alone are float64, vectors float32."""

Columns = Mapping[str, ColumnKind]


def check_format(format: MapFormat) -> None:
    """Raise ValueError where the package of a format is not installed."""
    match format:
        case "parquet":
            if find_spec("pyarrow") is None:
                raise ValueError("--format parquet needs pyarrow: pip install 'sycoca[datasets]'")
        case "jsonl" | "safetensors":
            pass
        case unknown:
            assert_never(unknown)


def write_rows(path: Path, rows: Sequence[Row], columns: Columns, format: MapFormat) -> None:
    """Write an output file, whole or not at all."""
    match format:
        case "jsonl":
            with atomic_file(path) as unfinished, unfinished.open("wb") as file:
                file.writelines(json.dumps(row, ensure_ascii=False, default=_listed).encode() + b"\n" for row in rows)
        case "parquet":
            _write_parquet(path, rows, columns)
        case "safetensors":
            write_arrays(path, _arrays(rows, columns), [row["key"] for row in rows])
        case unknown:
            assert_never(unknown)


def _listed(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"no JSON for {type(value).__name__}")


def _write_parquet(path: Path, rows: Sequence[Row], columns: Columns) -> None:
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema([(name, _arrow_type(kind)) for name, kind in columns.items()])
    arrays = [pyarrow.array([_lists(row[field.name]) for row in rows], type=field.type) for field in schema]
    table = pyarrow.Table.from_arrays(arrays, schema=schema)
    with atomic_file(path) as unfinished:
        pyarrow.parquet.write_table(table, unfinished, compression="zstd")


def _lists(value: Any) -> Any:
    """Return vectors as lists of one kind: an array of no captions has no vectors."""
    is_matrix = isinstance(value, np.ndarray) and value.ndim > 1
    return list(value) if is_matrix else value


def _arrow_type(kind: ColumnKind) -> "pyarrow.DataType":
    import pyarrow

    match kind:
        case "text":
            return pyarrow.string()
        case "number":
            return pyarrow.float64()
        case "vector":
            return pyarrow.list_(pyarrow.float32())
        case "texts":
            return pyarrow.list_(pyarrow.string())
        case "numbers":
            return pyarrow.list_(pyarrow.float64())
        case "vectors":
            return pyarrow.list_(pyarrow.list_(pyarrow.float32()))
        case unknown:
            assert_never(unknown)


def _arrays(rows: Sequence[Row], columns: Columns) -> dict[str, np.ndarray]:
    """Return the arrays of ``sycoca embed``; without rows they have no columns."""
    arrays: dict[str, np.ndarray] = {}
    if "image_embedding" in columns:
        arrays["images"] = _stacked([row["image_embedding"] for row in rows], np.stack)
    if "text_embeddings" in columns:
        arrays["texts"] = _stacked([row["text_embeddings"] for row in rows], np.concatenate)
        arrays["image_of_text"] = np.arange(len(rows)).repeat([len(row["text_embeddings"]) for row in rows])
    return arrays


def _stacked(parts: Sequence[np.ndarray], join: Any) -> np.ndarray:
    return join(parts) if parts else np.zeros((0, 0), np.float32)
