"""The index of one shard as a file, until those of all shards are put together."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np

from sycoca.data.formats.shards.scan import KeyNumbers, ScannedShard
from sycoca.outputs.atomic import atomic_file
from sycoca.unusable import SkippedSample


def save_scanned(path: Path, scanned: ScannedShard) -> None:
    """Write the index of a shard; the file is whole or not there."""
    described = {"keys": scanned.keys, "fields": scanned.fields, "skipped": [asdict(one) for one in scanned.skipped]}
    with atomic_file(path) as unfinished, unfinished.open("wb") as file:
        np.savez(
            file,
            images=scanned.images,
            content=scanned.content,
            ends=np.cumsum([0, *map(len, scanned.texts)], dtype=np.uint64),
            texts=np.frombuffer(b"".join(scanned.texts), np.uint8),
            described=np.frombuffer(json.dumps(described).encode(), np.uint8),
        )


def load_scanned(path: Path) -> ScannedShard:
    """Return what `save_scanned` has written."""
    with path.open("rb") as file, np.load(file) as arrays:
        described = json.loads(arrays["described"].tobytes())
        return ScannedShard(
            images=arrays["images"],
            content=arrays["content"],
            texts=_split(arrays["texts"].tobytes(), arrays["ends"].tolist()),
            keys=KeyNumbers(*described["keys"]),
            skipped=[SkippedSample(**one) for one in described["skipped"]],
            fields=described["fields"],
        )


def _split(data: bytes, ends: Sequence[int]) -> list[bytes]:
    return [data[begin:end] for begin, end in pairwise(ends)]
