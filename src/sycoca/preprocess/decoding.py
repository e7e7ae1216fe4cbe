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
from typing import Literal

from PIL import Image, PngImagePlugin

from sycoca.facts.input_limits import LimitName, input_limit, stated_limit
from sycoca.file_names import has_suffix, in_other_case, spelled_otherwise
from sycoca.preprocess.decoding_cost import decoded_bytes, num_scans
from sycoca.preprocess.rgb import to_rgb
from sycoca.unusable import SkipReason, UnusableSampleError, unusable

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
"""Supported formats, by PIL's names; no other decoder is tried."""

MIN_SIDE = 2
"""Minimum width and height in pixels; images of one pixel are tracking pixels of web pages."""

ImageFile = str | Path | io.BytesIO

# PIL's warnings about odd metadata and large images do not name the file; what matters raises an error below.
# catch_warnings is no alternative: it is not thread-safe, and several threads decode.
warnings.filterwarnings("ignore", module=r"PIL\.")

# A PNG whose text or color profile has more than 1 MiB, such as the workflow that made it, is an image like others.
# PIL's limit on all texts of a file stays.
PngImagePlugin.MAX_TEXT_CHUNK = max(PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY)

_PIECE = 2**20
"""Bytes that are unpacked at a time."""

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


def check_decoding(image: Image.Image, name: str) -> None:
    """Raise UnusableSampleError where decoding an image, of which only the header is read, takes too much."""
    width, height = image.size
    if max(width, height) > input_limit("image_side"):
        raise _too_large(name, f"a side of {max(width, height):,} pixels", "image_side")
    num_bytes = decoded_bytes(image)
    if num_bytes > input_limit("decoded_bytes"):
        size = f"{width:,} x {height:,} pixels ({image.mode}), which take {num_bytes:,} bytes to decode"
        raise _too_large(name, size, "decoded_bytes")
    scans = num_scans(image)
    if scans > input_limit("image_scans"):
        raise _too_large(name, f"{scans:,} scans", "image_scans")


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
    archive = next((parent for parent in path.parents if has_suffix(parent, ".zip") and parent.is_file()), None)
    if archive is None:
        return None
    with zipfile.ZipFile(archive) as opened:
        member = opened.NameToInfo.get(path.relative_to(archive).as_posix())
        if member is None:
            return None
        return unpacked(opened, member, name)


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


def check_size(
    num_bytes: int, name: str, limit: Literal["image_file_bytes", "member_bytes"] = "image_file_bytes"
) -> None:
    """Raise UnusableSampleError for a file, or for an archive member before unpacking, that is empty or too large."""
    if num_bytes == 0:
        raise _refusal(name, "empty file", "it is empty (0 bytes); fetch it again or leave it out")
    if num_bytes > input_limit(limit):
        raise _refusal(name, "file too large", f"it has {num_bytes:,} bytes; {stated_limit(limit)}")


def unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> io.BytesIO:
    """Return the bytes of an archive's member, which may hold more than its size in the archive's index says.

    Raises UnusableSampleError as `check_size` does, and whatever damaged data makes zipfile raise.
    """
    check_size(member.file_size, name, "member_bytes")
    data = io.BytesIO()
    with archive.open(member) as packed:
        # Without a size, zipfile would unpack everything that follows, up to 2 GiB, before it compares sizes.
        while piece := packed.read(_PIECE):
            data.write(piece)
    data.seek(0)
    return data


def _decode(file: ImageFile, name: str, smallest_side: int | None) -> Image.Image:
    with Image.open(file, formats=FORMATS) as image:
        width, height = image.size
        check_decoding(image, name)
        if min(width, height) < MIN_SIDE:
            hint = f"both sides must have at least {MIN_SIDE}; leave it out"
            raise _refusal(name, "image too small", f"it has {width:,} x {height:,} pixels, {hint}")
        if smallest_side is not None:
            image.draft("RGB", (smallest_side, smallest_side))
        return to_rgb(image)


def _explained(file: ImageFile, name: str, error: Exception) -> UnusableSampleError:
    """Return the error to raise for an exception of PIL's."""
    match error:
        case Image.DecompressionBombError() | Image.DecompressionBombWarning():
            # Only PIL's message has the size: it is raised before an image object exists.
            counted = re.search(r"\((\d+) pixels\)", str(error))
            pixels = f"{int(counted[1]):,} pixels" if counted else "far more pixels"
            return _too_large(name, pixels, "decoded_bytes")
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


def _too_large(name: str, what: str, limit: LimitName) -> UnusableSampleError:
    return _refusal(name, "image too large", f"it has {what}; store it smaller; {stated_limit(limit)}")


def _refusal(name: str, reason: SkipReason, what: str) -> UnusableSampleError:
    return unusable(name, reason, f"{name} cannot be read as an image: {what}")


def _plain(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__
