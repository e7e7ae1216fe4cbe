"""Inspection of the images of a source, in parallel; files that the cache knows are not read again."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from PIL import Image

from sycoca.data.content_keys import Fingerprint
from sycoca.data.formats.image_files import StoredImage
from sycoca.data.inspection.finding_cache import Finding, FindingCache
from sycoca.data.inspection.image_facts import ImageFacts, image_facts
from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.unusable import UnusableSampleError

_SAMPLES_AT_A_TIME = 512

View = Callable[[int, Image.Image], None]
"""Called with the position among the inspected images, and the decoded image; by several threads at once."""


def inspect_images(
    source: SampleSource, cache: FindingCache, places: Sequence[int], view: View | None = None
) -> Iterator[Finding]:
    """Yield the findings about the images with those indices of the source, in order.

    Files that the cache knows are not opened; new findings are stored there. ``view`` gets every readable image before
    its finding is yielded; then files that the cache knows are opened as well. Each file is decoded once.
    """
    # Decoding, resizing and hashing release the GIL, so threads use all cores.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(places), _SAMPLES_AT_A_TIME):
            samples = [source[place] for place in places[start : start + _SAMPLES_AT_A_TIME]]
            yield from _inspect(samples, cache, pool, None if view is None else partial(_view_from, view, start))


def look(sample: ImageTextSample) -> Finding:
    """Open an image and return its facts, or why it cannot be read."""
    return _look(sample, None, None)


def _look(sample: ImageTextSample, known: Finding | None, view: Callable[[Image.Image], None] | None) -> Finding:
    try:
        image = sample.open_image()
    except UnusableSampleError as error:
        return error.skipped
    if view is not None:
        view(image)
    return known if isinstance(known, ImageFacts) else image_facts(image)


def _view_from(view: View, start: int, place: int, image: Image.Image) -> None:
    view(start + place, image)


def _inspect(
    samples: Sequence[ImageTextSample], cache: FindingCache, pool: ThreadPoolExecutor, view: View | None
) -> Iterator[Finding]:
    fingerprints = list(pool.map(_fingerprint, samples))
    stored = cache.known([fingerprint for fingerprint in fingerprints if fingerprint is not None])
    known = [None if fingerprint is None else stored.get(fingerprint) for fingerprint in fingerprints]

    def look_at(place: int) -> Finding:
        return _look(samples[place], known[place], None if view is None else partial(view, place))

    opened = [place for place, finding in enumerate(known) if finding is None or view is not None]
    looked_at = dict(zip(opened, pool.map(look_at, opened), strict=True))
    new = {key: one for place, one in looked_at.items() if (key := fingerprints[place]) is not None}
    cache.keep({key: one for key, one in new.items() if key not in stored})
    for place, finding in enumerate(known):
        found = looked_at.get(place, finding)
        assert found is not None
        yield found


def _fingerprint(sample: ImageTextSample) -> Fingerprint | None:
    return sample.open_image.fingerprint() if isinstance(sample.open_image, StoredImage) else None
