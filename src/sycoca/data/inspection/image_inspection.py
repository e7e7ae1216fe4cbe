"""Inspection of the images of a source, in parallel; files that the index knows are not read again."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from sycoca.data.formats.image_files import Fingerprint, StoredImage
from sycoca.data.inspection.image_facts import image_facts
from sycoca.data.inspection.image_index import Finding, ImageIndex
from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.unusable import UnusableSampleError

_SAMPLES_AT_A_TIME = 512


def inspect_images(source: SampleSource, index: ImageIndex, places: Sequence[int]) -> Iterator[Finding]:
    """Yield the findings about the images with those indices of the source, in order.

    Files that the index knows are not opened; new findings are stored there.
    """
    # Decoding, resizing and hashing release the GIL, so threads use all cores.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(places), _SAMPLES_AT_A_TIME):
            samples = [source[place] for place in places[start : start + _SAMPLES_AT_A_TIME]]
            yield from _inspect(samples, index, pool)


def look(sample: ImageTextSample) -> Finding:
    """Open an image and return its facts, or why it cannot be read."""
    try:
        return image_facts(sample.open_image())
    except UnusableSampleError as error:
        return error.skipped


def _inspect(samples: Sequence[ImageTextSample], index: ImageIndex, pool: ThreadPoolExecutor) -> Iterator[Finding]:
    fingerprints = list(pool.map(_fingerprint, samples))
    known = index.known([fingerprint for fingerprint in fingerprints if fingerprint is not None])
    findings = [None if fingerprint is None else known.get(fingerprint) for fingerprint in fingerprints]
    unknown = [place for place, finding in enumerate(findings) if finding is None]
    looked_at = dict(zip(unknown, pool.map(look, [samples[place] for place in unknown]), strict=True))
    index.keep({key: finding for place, finding in looked_at.items() if (key := fingerprints[place]) is not None})
    for place, finding in enumerate(findings):
        yield looked_at[place] if finding is None else finding


def _fingerprint(sample: ImageTextSample) -> Fingerprint | None:
    return sample.open_image.fingerprint() if isinstance(sample.open_image, StoredImage) else None
