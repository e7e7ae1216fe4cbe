"""What decoding an image takes, from its header alone."""

from PIL import Image

_BYTES_OF_MODE = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}


def decoded_bytes(image: Image.Image) -> int:
    """Return how many bytes decoding an image to RGB takes at its peak; only its header needs to be read."""
    # PIL stores a pixel in 4 bytes but for these modes, and a conversion to RGB adds another 4.
    of_pixel = _BYTES_OF_MODE.get(image.mode, 4) + (0 if image.mode == "RGB" else 4)
    match image.format:
        case "WEBP":
            of_pixel += 8  # the canvas of the library, and the same as bytes
        case "JPEG" if _is_progressive(image):
            of_pixel += 2 * len(image.getbands())  # all coefficients, 16 bits each
        case _:
            pass
    return of_pixel * image.width * image.height


def _is_progressive(image: Image.Image) -> bool:
    return image.format == "JPEG" and bool(image.info.get("progressive"))


def num_scans(image: Image.Image) -> int:
    """Return the number of scans of a progressive JPEG, 1 for all else."""
    file = getattr(image, "fp", None)
    if not _is_progressive(image) or file is None:
        return 1
    position = file.tell()
    file.seek(0)
    number = file.read().count(b"\xff\xda")
    file.seek(position)
    return number
