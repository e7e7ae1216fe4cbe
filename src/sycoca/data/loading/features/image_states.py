"""The state of a sample's image: text that changes when the image does."""

from collections.abc import Iterable

from sycoca.data.content_keys import HasFingerprint, image_key
from sycoca.data.samples import ImageTextSample
from sycoca.preprocess.image_transforms import image_threads
from sycoca.unusable import UnusableSampleError


def image_states(samples: Iterable[ImageTextSample]) -> list[str]:
    """Return the states of images: of their files without reading them, else of their pixels."""
    with image_threads() as pool:
        return list(pool.map(_image_state, samples))


def is_of_no_image(state: str) -> bool:
    """Return whether a state says that there was no image."""
    return state.endswith(" None") or " unreadable: " in state


def _image_state(sample: ImageTextSample) -> str:
    opener = sample.open_image
    if isinstance(opener, HasFingerprint):
        return f"{sample.key} {opener.fingerprint()}"
    try:
        return f"{sample.key} pixels {image_key(opener, opener())}"
    except UnusableSampleError as error:
        return f"{sample.key} unreadable: {error.skipped.detail}"
