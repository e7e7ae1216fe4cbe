"""Decode image files to upright RGB, or raise an error that says in one line why not.

Supported are JPEG, PNG, WebP, GIF and APNG (first frame), TIFF (first page) and BMP. Color profiles are ignored, as
in the pipelines of CLIP and open_clip.
"""

import io
import os
import re
import stat
import warnings
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from sycoca.file_names import in_other_case, spelled_otherwise
from sycoca.unusable import SkipReason, UnusableSampleError, unusable

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
"""Supported formats, by PIL's names; no other decoder is tried."""

MAX_PIXELS = 89_478_485
"""Maximum pixels of an image: 256 MiB of RGB, PIL's threshold for a decompression bomb."""

MAX_FILE_BYTES = 256 * 2**20
"""Maximum bytes of an image file, or of an archive member once unpacked."""

MIN_SIDE = 2
"""Minimum width and height in pixels; images of one pixel are tracking pixels of web pages."""

ImageFile = str | Path | io.BytesIO

# PIL's warnings about odd metadata and large images do not name the file; what matters raises an error below.
# catch_warnings is no alternative: it is not thread-safe, and several threads decode.
warnings.filterwarnings("ignore", module=r"PIL\.")

_MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_OTHER_KINDS = (
    (b"<!doctype html", "a web page, as servers send in place of a lost image"),
    (b"<html", "a web page, as servers send in place of a lost image"),
    (b"<?xml", "an XML file, perhaps an SVG drawing"),
    (b"<svg", "an SVG drawing"),
    (b"%pdf", "a PDF document"),
    (b"pk\x03\x04", "a zip file"),
    (b"version https://git-lfs", "a Git LFS pointer, whose file was not fetched"),
)
_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_WITH_ALPHA = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})


def open_rgb(file: ImageFile, name: str | None = None, smallest_side: int | None = None) -> Image.Image:
    """Read an image file as upright RGB; ``name`` is what an error calls a file that has no path.

    With ``smallest_side`` a large JPEG is decoded at a reduced size, with both sides at least that long. Raises
    UnusableSampleError, and nothing else, whatever is wrong with the file.
    """
    if smallest_side is not None and smallest_side < 1:
        raise ValueError(f"the smallest side must be at least 1 pixel, got {smallest_side}")
    name = str(file) if name is None else name
    try:
        return _decode(found_file(file, name), name, smallest_side)
    except UnusableSampleError:
        raise
    except Exception as error:  # hostile bytes make decoders raise anything, from struct.error to MemoryError
        raise _explained(file, name, error) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the image turned upright (as its EXIF tag says) in RGB.

    Transparent pixels become white, as on a page; the colors stored behind them are arbitrary. 16 bits are scaled to 8.
    Float images with values up to 1 are scaled by 255, others are taken as 8-bit values; ValueError where values lie
    outside these ranges, because then it is unknown which value is white.
    """
    image.load()
    turn = _TURNS.get(image.getexif().get(_ORIENTATION_TAG, 1))
    upright = image if turn is None else image.transpose(turn)
    if upright.mode == "F" or upright.mode.startswith("I"):
        upright = _eight_bits(upright)
    if upright.mode in _WITH_ALPHA or "transparency" in upright.info:
        upright = _over_white(upright.convert("RGBA"))
    return upright if upright.mode == "RGB" else upright.convert("RGB")


def found_file(file: ImageFile, name: str) -> ImageFile:
    """Return the file, the one that its name means, or a member of a zip file as bytes.

    Raises UnusableSampleError as `check_file` does.
    """
    try:
        check_file(file, name)
    except UnusableSampleError:
        # Only now: most names are those of files, and looking twice costs time on a network.
        if isinstance(file, io.BytesIO):
            raise
        meant = spelled_otherwise(file)
        if meant == str(file):
            raise
        if meant is not None:
            check_file(meant, name)
            return meant
        packed = _zip_member(Path(file), name)
        if packed is None:
            raise
        return packed
    return file


def _zip_member(path: Path, name: str) -> io.BytesIO | None:
    """Return a member that a path names behind that of its zip file; None where there is none."""
    archive = next((parent for parent in path.parents if parent.suffix.lower() == ".zip" and parent.is_file()), None)
    if archive is None:
        return None
    with zipfile.ZipFile(archive) as opened:
        member = opened.NameToInfo.get(path.relative_to(archive).as_posix())
        if member is None:
            return None
        check_size(member.file_size, name)
        return io.BytesIO(opened.read(member))


def check_file(file: ImageFile, name: str) -> None:
    """Raise UnusableSampleError for anything but a regular file of a plausible size, without reading it."""
    if isinstance(file, io.BytesIO):
        check_size(file.getbuffer().nbytes, name)
        return
    try:
        status = os.stat(file)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _refusal(name, "missing image", _missing_hint(file)) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL or a lone surrogate in the name
        raise _refusal(name, "unreadable file", f"{_plain(error)}; rename the file or grant access") from error
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or device"
        raise _refusal(name, "unreadable file", f"it is {what}; name an image file")
    check_size(status.st_size, name)


def _missing_hint(file: str | Path) -> str:
    """Return what is said about a file that is not there."""
    if re.search(r"\b(https?|ftp|s3|gs):/", str(file)):
        return "it is a web address, and nothing is fetched; download the images first"
    other = in_other_case(file)
    if other is not None:
        return f"there is {os.path.basename(other)!r}, which differs in upper and lower case; name it so"
    return "there is no such file; check the name and the images folder"


def check_size(num_bytes: int, name: str) -> None:
    """Raise UnusableSampleError for a file, or for an archive member before unpacking, that is empty or too large."""
    if num_bytes == 0:
        raise _refusal(name, "empty file", "it is empty (0 bytes); fetch it again or leave it out")
    if num_bytes > MAX_FILE_BYTES:
        most = f"at most {MAX_FILE_BYTES // 2**20} MiB are read"
        raise _refusal(name, "file too large", f"it has {num_bytes / 2**20:,.0f} MiB, {most}; store it smaller")


def _decode(file: ImageFile, name: str, smallest_side: int | None) -> Image.Image:
    with Image.open(file, formats=FORMATS) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise _too_large(name, f"{width:,} x {height:,} pixels")
        if min(width, height) < MIN_SIDE:
            hint = f"both sides must have at least {MIN_SIDE}; leave it out"
            raise _refusal(name, "image too small", f"it has {width:,} x {height:,} pixels, {hint}")
        if smallest_side is not None:
            image.draft("RGB", (smallest_side, smallest_side))
        return to_rgb(image)


def _eight_bits(image: Image.Image) -> Image.Image:
    # PIL clips instead of scaling, which turns most 16-bit pixels white and most float pixels black.
    values = np.asarray(image, dtype=np.float64)
    key = image.info.get("transparency")
    if image.mode == "F":
        scale, largest = (255.0, 1.0) if values.max() <= 1 else (1.0, 255.0)
    else:
        scale, largest = 1 / 257, 65535.0
    if not (values.min() >= 0 and values.max() <= largest):  # written so that NaN is refused as well
        raise ValueError(
            f"its values range from {values.min():g} to {values.max():g} instead of 0 to {largest:g}; save it with"
            " 8 bits"
        )
    if isinstance(key, int):
        values = np.where(values == key, largest, values)
    return Image.fromarray((values * scale).round().astype(np.uint8))


def _over_white(image: Image.Image) -> Image.Image:
    if image.getchannel("A").getextrema() == (255, 255):
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)


def _explained(file: ImageFile, name: str, error: Exception) -> UnusableSampleError:
    """Return the error to raise for an exception of PIL's."""
    match error:
        case Image.DecompressionBombError() | Image.DecompressionBombWarning():
            # Only PIL's message has the size: it is raised before an image object exists.
            counted = re.search(r"\((\d+) pixels\)", str(error))
            return _too_large(name, f"{int(counted[1]):,} pixels" if counted else "far more pixels")
        case MemoryError():
            return _refusal(name, "image too large", "it does not fit into memory; store it smaller")
        case OSError(errno=int()):  # from the operating system; PIL's own have no errno
            return _refusal(name, "unreadable file", f"{_plain(error)}; grant access or check the disk")
        case Image.UnidentifiedImageError():
            return _unidentified(file, name)
        case _:
            return _refusal(name, "broken image", f"{_plain(error)}; fetch it again or leave it out")


def _unidentified(file: ImageFile, name: str) -> UnusableSampleError:
    start = file.getvalue()[:64] if isinstance(file, io.BytesIO) else _first_bytes(Path(file))
    if start.startswith(_MAGIC) or (start[:4] == b"RIFF" and start[8:12] == b"WEBP"):
        return _refusal(name, "broken image", "it ends or breaks within its header; fetch it again or leave it out")
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    kinds = [what for beginning, what in _OTHER_KINDS if text.startswith(beginning)]
    if start[4:8] == b"ftyp":
        kinds = [f"an image or video of kind {start[8:12].decode('ascii', 'replace').strip()}"]
    what = f"it is {kinds[0]}" if kinds else f"it begins with {start[:12]!r}"
    formats = ", ".join(FORMATS[:-1])
    return _refusal(name, "not an image", f"{what}; {formats} and {FORMATS[-1]} are read")


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(64)


def _too_large(name: str, what: str) -> UnusableSampleError:
    return _refusal(name, "image too large", f"it has {what}, at most {MAX_PIXELS:,} are decoded; store it smaller")


def _refusal(name: str, reason: SkipReason, what: str) -> UnusableSampleError:
    return unusable(name, reason, f"{name} cannot be read as an image: {what}")


def _plain(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__
