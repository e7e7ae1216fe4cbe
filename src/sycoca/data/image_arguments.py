"""Images as commands and functions are given them: files, folders, or a data SPEC."""

import os
from collections.abc import Iterable
from pathlib import Path

from sycoca.data.formats.image_files import StoredImage
from sycoca.data.formats.named_images import NamedImages, stored_images
from sycoca.data.samples import SampleSource
from sycoca.data.spec import is_folder, open_source
from sycoca.keywords import check_type

_NAMED_IMAGE = "a path, since results name their images (methods of Predictor take images in memory)"


def open_images(images: SampleSource | str | Path | Iterable[str | Path]) -> SampleSource:
    """Return image files, the images in folders, or one data SPEC as a source; a source is returned as it is.

    Raises ValueError where there are none, and where a SPEC stands beside other things.
    """
    if isinstance(images, SampleSource) and not isinstance(images, str | list | tuple):
        return images
    check_type(images, (str, os.PathLike, Iterable), "images", "one or several paths, a SPEC, or a source")
    inputs = [images] if isinstance(images, str | os.PathLike) else list(images)
    if not inputs:
        raise ValueError("name at least one image, or a data SPEC")
    for index, one in enumerate(inputs):
        check_type(one, (str, os.PathLike), f"images[{index}]", _NAMED_IMAGE)
    found: list[StoredImage] = []
    for one in inputs:
        own = list(stored_images(one))
        if not own and len(inputs) > 1:
            raise ValueError(f"{one} is neither an image file nor a folder of them; a data SPEC must stand alone")
        if not own:
            return _images_of_spec(str(one))
        found += own
    return NamedImages(images=found)


def _images_of_spec(spec: str) -> SampleSource:
    """Open a SPEC; images of a folder are called by their paths, as they are without options."""
    source = open_source(spec)
    if not is_folder(spec):
        return source
    openers = [source[index].open_image for index in range(len(source))]
    return NamedImages(images=[opener for opener in openers if isinstance(opener, StoredImage)], name=source.name)
