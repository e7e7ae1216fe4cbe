"""Check that all processes of a run read the same data: each takes its samples from the order of all."""

import hashlib
import json

from sycoca.data.samples import SampleSource
from sycoca.data.selection import spread_samples
from sycoca.training.engine.runtime import Runtime
from sycoca.training.recipes.recipe import Sources

_NUM_COMPARED_SAMPLES = 64


def refuse_other_data(sources: Sources, runtime: Runtime) -> None:
    """Raise ValueError, in all processes, where one has other training or validation samples than rank 0.

    Called by all processes. Copies of the data on the disks of several hosts may differ in a file that is missing;
    some samples would then be seen several times, and others never. Compared are the number of samples, and keys and
    captions of 64 of them.
    """
    if runtime.world_size == 1:
        return
    own = {"training": _seen(sources.train), "validation": _seen(sources.validation)}
    first, *others = runtime.gather_plain([own])
    for rank, other in enumerate(others, start=1):
        for name, (number, digest) in other.items():
            if [number, digest] != first[name]:
                raise ValueError(
                    f"rank {rank} has other {name} data than rank 0: {number:,} samples, and rank 0 has"
                    f" {first[name][0]:,}{'' if number != first[name][0] else ' others'}; compare the copies of"
                    " their files on both hosts"
                )


def _seen(source: SampleSource | None) -> tuple[int, str]:
    """Return the number of samples, and a digest of some."""
    if source is None:
        return 0, ""
    digest = hashlib.sha256()
    read = spread_samples(source, _NUM_COMPARED_SAMPLES)
    for index in range(len(read)):
        sample = read[index]
        digest.update(json.dumps([sample.key, *sample.captions, *sample.generated_captions]).encode("ascii"))
    return len(source), digest.hexdigest()
