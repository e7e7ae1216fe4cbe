"""The plan of a map: what a folder is made of, in ``plan.json``, so that every worker does the same work.

    {"format_version": 1, "verb": "caption", "weights": "runs/small/weights", "weights_sha256": "...",
     "data": "photos.jsonl", "samples": 50000, "samples_sha256": "...", "format": "jsonl",
     "options": {"generation": {...}, "batch_size": 64, "precision": "fp32"}, "files": ["00000", ...],
     "files_sha256": "..."}

The first worker writes it, all others compare theirs with it. What it does not hold (device, threads, workers, engine)
changes no row beyond the rounding of floating-point numbers.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from sycoca.data.samples import SampleSource
from sycoca.inference.model_options import ModelOptions
from sycoca.inference.predictor import Predictor
from sycoca.inference.provenance import first_difference, lines_digest, weights_digest, weights_name
from sycoca.mapping.blocks import Block
from sycoca.mapping.settings import MapFormat
from sycoca.mapping.work import Work
from sycoca.outputs.errors import OutputError
from sycoca.outputs.lease import create_once
from sycoca.plain_data import to_plain
from sycoca.texts import shortened

PLAN_NAME = "plan.json"

FORMAT_VERSION = 1
"""Increases when plans change in a way that older versions cannot read."""

_NUM_COMPARED_SAMPLES = 64
"""Samples whose keys and captions are compared: enough to see other data, few enough for a billion samples."""

_MEANINGS: Mapping[str, str] = {
    "samples_sha256": "the data has other samples",
    "files": "the data is cut into other blocks or shards",
    "files_sha256": "the data is cut into other blocks or shards",
}
"""What differs where the values themselves say nothing."""

Plan = dict[str, Any]


def plan_of(
    work: Work,
    weights: Predictor | str | Path,
    data: str,
    source: SampleSource,
    blocks: Sequence[Block],
    format: MapFormat,
    model: ModelOptions,
) -> Plan:
    """Return the plan of a map."""
    bounds = (f"{block.name} {block.first} {block.stop}" for block in blocks)
    return {
        "format_version": FORMAT_VERSION,
        "verb": work.facts.verb,
        "weights": weights_name(weights),
        "weights_sha256": weights_digest(weights),
        "data": data,
        "samples": len(source),
        "samples_sha256": lines_digest(_sample_lines(source)),
        "format": format,
        "options": {**to_plain(work), "batch_size": model.batch_size, "precision": model.precision},
        "files": [block.name for block in blocks],
        "files_sha256": lines_digest(bounds),
    }


def read_plan(folder: Path) -> Plan | None:
    """Return the plan of a folder, None where it has none. Raises OutputError for one that cannot be read."""
    path = folder / PLAN_NAME
    try:
        plan = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, OSError, RecursionError) as error:
        raise OutputError(f"{path} cannot be read: {shortened(str(error))}; delete {folder} and start over") from error
    if not _is_plan(plan):
        raise OutputError(f"{path} is no plan that this version of sycoca reads; choose another name")
    return plan


def agree(folder: Path, plan: Plan) -> None:
    """Write the plan of a folder, or compare it with the one that is there.

    Of several workers that begin at once, one writes. Raises OutputError where the folder has another plan.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if create_once(folder / PLAN_NAME, json.dumps(plan, indent=1, ensure_ascii=False).encode() + b"\n"):
        return
    there = read_plan(folder)
    assert there is not None
    difference = first_difference(there, plan, _MEANINGS)
    if difference is not None:
        raise OutputError(
            f"{folder} was begun with other arguments: {difference}; --overwrite starts over, or choose another name"
        )


def check_unchanged(folder: Path, plan: Plan) -> None:
    """Raise OutputError where another command has begun the folder anew since it was agreed on."""
    there = read_plan(folder)
    if there is None or first_difference(there, plan, _MEANINGS) is not None:
        raise OutputError(
            f"another command has begun {folder} anew with --overwrite; this one writes nothing more to it"
        )


def _is_plan(plan: object) -> bool:
    match plan:
        case {"format_version": int(version), "format": str() as format, "files": list() as names}:
            # A name that leads out of the folder would have other files deleted.
            is_inside = all(isinstance(name, str) and os.path.basename(name) == name for name in names)
            return version == FORMAT_VERSION and format in get_args(MapFormat) and is_inside
        case _:
            return False


def _sample_lines(source: SampleSource) -> Iterable[str]:
    count = min(len(source), _NUM_COMPARED_SAMPLES)
    for place in range(count):
        sample = source[place * (len(source) - 1) // max(1, count - 1)]
        yield json.dumps([sample.key, *sample.captions])
