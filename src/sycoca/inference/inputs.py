"""Images of users, one or many, in whatever form they come, as the model's input."""

import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.preprocess.decoding import open_rgb
from sycoca.preprocess.image_transforms import inference_batch
from sycoca.preprocess.pixel_arrays import array_image, is_batch
from sycoca.preprocess.rgb import to_rgb
from sycoca.texts import listed_texts
from sycoca.unusable import UnusableSampleError


@runtime_checkable
class BinaryFile(Protocol):
    """A file that is open for reading bytes; it is read from its beginning where it can be, and stays open."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the bytes from the present position on."""
        ...


ImageInput = (
    Image.Image
    | str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | BinaryFile
    | np.ndarray
    | Tensor
    | Callable[[], Image.Image]
    | ImageTextSample
)
"""One image: a PIL image, a path, the bytes of a file, an open file, an array, a function that opens one, or a sample.

NumPy arrays are (height, width[, channels]), tensors ([channels,] height, width), see `array_image`.
"""

Images = ImageInput | Iterable[ImageInput] | SampleSource
"""One or many images; many are a list, a tuple, an iterator, a source, or an array with a dimension more."""

_LONGEST_PATH = 4096
"""Most characters of a path on Linux."""

_KINDS = "a PIL image, a path, bytes, an open file, an array, a tensor, or a function that opens an image"


def open_image(image: object, smallest_side: int | None = None, name: str = "the image") -> Image.Image:
    """Return one image of a user as upright RGB; ``name`` is what errors call one without a path.

    ``smallest_side`` makes reading of large JPEGs faster, see `ImageOpener`. Raises ValueError where it cannot be read
    or is not an image.
    """
    match image:
        case str() | os.PathLike():
            return open_rgb(_path(os.fspath(image), name), str(image), smallest_side)
        case bytes() | bytearray() | memoryview():
            return open_rgb(io.BytesIO(image), name, smallest_side)
        case ImageTextSample():
            return image.open_image(smallest_side)
        case BinaryFile():
            return open_rgb(io.BytesIO(_content(image, name)), name, smallest_side)
        case _:
            return _decoded(image() if callable(image) else image, name)


def _path(text: str, name: str) -> Path:
    """Return the path that a text is. Raises ValueError for a text that is the image itself, or nothing."""
    if text.startswith("data:") or len(text) > _LONGEST_PATH:
        raise ValueError(
            f"{name} is a text of {len(text):,} characters and no path; if it is an image in base64, pass"
            " base64.b64decode(text)"
        )
    if not text:
        raise ValueError(f"{name} is an empty text; an image is {_KINDS}")
    return Path(text)


def _decoded(image: object, name: str) -> Image.Image:
    """Return pixels that are in memory already as RGB."""
    if not isinstance(image, Image.Image | np.ndarray | Tensor):
        raise _no_image(image, name)
    try:
        picture = image if isinstance(image, Image.Image) else array_image(image)
        if min(picture.size) == 0:
            raise ValueError(f"it has {picture.width} x {picture.height} pixels")
        return to_rgb(picture)
    except (UnusableSampleError, MemoryError):
        raise
    except Exception as error:  # an image that is opened and not yet decoded raises whatever its decoder does
        raise ValueError(f"{name} cannot be read as an image: {error or type(error).__name__}") from error


def _no_image(image: object, name: str) -> ValueError:
    if isinstance(image, list | tuple):
        return ValueError(f"{name}: expected one image, got a {type(image).__name__} of them")
    return ValueError(f"{name}: expected {_KINDS}, got {type(image).__name__}")


def held_image(image: object, name: str) -> object:
    """Return an image that can be opened at any time: what is in an open file or an array is read now.

    Raises ValueError where that fails, and for what is no image.
    """
    if isinstance(image, np.ndarray | Tensor):
        return _decoded(image, name)
    if not is_one_image(image):
        raise _no_image(image, name)
    return _held(image, name)


def _content(file: BinaryFile, name: str) -> bytes:
    try:
        with suppress(AttributeError, OSError):  # streams of the network cannot go back
            file.seek(0)  # pyright: ignore[reportAttributeAccessIssue]
        content = file.read()
    except (OSError, ValueError) as error:  # ValueError: the file is closed
        raise ValueError(f"{name} cannot be read as an image: {error}") from error
    if isinstance(content, bytes):
        return content
    raise ValueError(f'{name} cannot be read as an image: the file is open as text; open it with mode "rb"')


def image_batch(
    images: Sequence[object], image_size: int, transforms: ImageTransformConfig, *, first: int | None = 0
) -> Float[Tensor, "batch 3 height width"]:
    """Return images as a normalized batch, transformed as at inference; several are opened at a time.

    ``first`` is the first one's index in the user's list, by which errors name images; None for an image alone.
    """
    names = ["the image" if first is None else f"images[{first + index}]" for index in range(len(images))]
    held = [_held(image, name) for image, name in zip(images, names, strict=True)]
    _decode_shared(held)
    openers = [partial(_open_named, image, name) for image, name in zip(held, names, strict=True)]
    return inference_batch(openers, image_size, transforms)


def _open_named(image: object, name: str, smallest_side: int) -> Image.Image:
    return open_image(image, smallest_side, name)


def _held(image: object, name: str) -> object:
    """Return an image that threads may open at the same time: files are read before."""
    return _content(image, name) if isinstance(image, BinaryFile) else image


def _decode_shared(images: Sequence[object]) -> None:
    """Decode PIL images that are given several times: PIL's decoders do not expect two threads."""
    for key, number in Counter(map(id, images)).items():
        if number > 1:
            image = next(one for one in images if id(one) == key)
            if isinstance(image, Image.Image):
                with suppress(Exception):  # raised again, with the image's name, when it is opened
                    image.load()


def is_one_image(images: object) -> bool:
    """Return whether this is a single image and not many."""
    if isinstance(images, np.ndarray | Tensor):
        return not is_batch(images)
    kinds = str | bytes | bytearray | memoryview | os.PathLike | Image.Image | ImageTextSample | BinaryFile
    return isinstance(images, kinds) or callable(images)


def num_images(images: Images) -> int | None:
    """Return how many images are given; None for an iterator, which only tells at its end."""
    if is_one_image(images):
        return 1
    many: Any = images
    return len(many) if hasattr(many, "__len__") else None


def image_batches(images: Images, batch_size: int) -> Iterator[tuple[int, list[object]]]:
    """Yield one or many images in lists of ``batch_size``, each with the index of its first image.

    Iterators are consumed once, a batch at a time. Raises ValueError for what is neither an image nor a list of them.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    rest = iter([images]) if is_one_image(images) else _each(images)
    return zip(count(0, batch_size), iter(lambda: list(islice(rest, batch_size)), []), strict=False)


def _each(images: object) -> Iterator[object]:
    if isinstance(images, set | frozenset | Mapping):
        raise ValueError(f"images are a list, got a {type(images).__name__}, which has no order")
    if isinstance(images, SampleSource) and not isinstance(images, Iterable):
        return (images[index] for index in range(len(images)))
    if not isinstance(images, Iterable):
        raise ValueError(f"expected an image or a list of them, got {type(images).__name__}; an image is {_KINDS}")
    return iter(images)


def batches_with(images: Images, num_others: int, others: str, batch_size: int) -> Iterator[tuple[int, list[object]]]:
    """Yield the number of each batch's first image and the batch, for images that each have a row of something else.

    Raises ValueError where there are not as many images as ``others``: at once where the number of images is known, and
    otherwise at the first image too many or at the end.
    """
    known = num_images(images)
    if known is not None:
        _check_number(known, num_others, others)
    found = 0
    for first, batch in image_batches(images, batch_size):
        found = first + len(batch)
        if found > num_others:
            _check_number(f"at least {found}", num_others, others)
        yield first, batch
    _check_number(found, num_others, others)


def _check_number(number: int | str, num_others: int, others: str) -> None:
    if number != num_others:
        raise ValueError(f"images and {others} come in pairs, got {number} images and {num_others} {others}")


def listed_lists(values: object, name: str) -> list[list[str]]:
    """Return a list of texts per image. Raises ValueError for a text alone, here or in place of an image's list."""
    if isinstance(values, str | bytes | set | frozenset | Mapping) or not isinstance(values, Iterable):
        raise ValueError(f"{name} is a list of texts for each image, got {type(values).__name__}; write [[text]]")
    return [listed_texts(own, f"{name}[{index}]") for index, own in enumerate(values)]
