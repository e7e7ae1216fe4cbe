"""Images by name, in a folder or a zip file."""

import io
import os
import posixpath
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Literal, Protocol, assert_never, final, runtime_checkable

from PIL import Image

from sycoca.data.content_keys import Fingerprint
from sycoca.facts.input_limits import InputLimitError, input_limit, stated_limit
from sycoca.file_names import IMAGE_SUFFIXES, existing, has_suffix, is_inside, meant_name, spelled_otherwise
from sycoca.preprocess.decoding import found_file, open_rgb, unpacked
from sycoca.unusable import UnusableSampleError, unusable

_IS_UTF8 = 0x800
"""The flag of a zip file's member whose name is UTF-8."""

Names = Literal["anywhere", "inside"]
"""Where the image files are that a data file may name: anywhere on the disk, or inside the folder of images alone."""


@runtime_checkable
class ImageFiles(Protocol):
    """Images by name."""

    def open(self, name: str, smallest_side: int | None = None) -> Image.Image:
        """Read one image as RGB; arguments and errors as in `ImageOpener`."""
        ...

    def fingerprint(self, name: str) -> Fingerprint | None:
        """Return what identifies the present state of a file without reading it; None where there is no such file."""
        ...

    def content(self, name: str) -> bytes:
        """Return a file's bytes; raises UnusableSampleError where they cannot be read."""
        ...

    def image_names(self) -> list[str]:
        """Return the names of all images, in order."""
        ...

    def path_of(self, name: str) -> str:
        """Return the path by which an image opens from the working directory."""
        ...


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image in a file, as an `ImageOpener` with its name."""

    files: ImageFiles
    """The folder or zip file."""

    name: str
    """The image's name in it."""

    def __call__(self, smallest_side: int | None = None, /) -> Image.Image:
        """Read the image as RGB; arguments and errors as in `ImageOpener`."""
        return self.files.open(self.name, smallest_side)

    def fingerprint(self) -> Fingerprint | None:
        """Return what identifies the present state of the file without reading it; None where there is no such file."""
        return self.files.fingerprint(self.name)

    def content(self) -> bytes:
        """Return the file's bytes; raises UnusableSampleError where they cannot be read."""
        return self.files.content(self.name)

    @property
    def path(self) -> str:
        """The path by which the image opens from the working directory; that of a zip file goes on in the file."""
        return self.files.path_of(self.name)


def open_image_files(path: Path, names: Names = "anywhere") -> ImageFiles:
    """Return the images of a folder or of a zip file. Raises ValueError where it is neither."""
    path = Path(existing(path))
    try:
        if path.is_dir():
            return ImageFolder(path, names)
        if path.is_file() and zipfile.is_zipfile(path):
            return ZippedImages(path)
    except OSError as error:
        raise ValueError(f"images cannot be read from {path}: {error.strerror}") from error
    raise ValueError(f"images must be a folder or a zip file, {path} is neither")


@final
@dataclass(frozen=True, slots=True)
class ImageFolder:
    """Image files below a folder; absolute names are allowed unless ``names`` says that images are inside."""

    folder: Path
    """The folder."""

    names: Names = "anywhere"
    """Where the files are that names may mean."""

    def open(self, name: str, smallest_side: int | None = None) -> Image.Image:
        """Read one image as RGB."""
        self._refuse_outside(name)
        return open_rgb(self.folder / name, smallest_side=smallest_side)

    def fingerprint(self, name: str) -> Fingerprint | None:
        """Return absolute path, size in bytes and modification time in nanoseconds."""
        path = os.path.abspath(self.folder / name)
        if self._is_outside(name):
            return None
        try:
            status = os.stat(path)
        except (OSError, ValueError):  # ValueError: a NUL in the name
            meant = spelled_otherwise(path)
            return None if meant is None else self.fingerprint(meant)
        return path, status.st_size, status.st_mtime_ns

    def content(self, name: str) -> bytes:
        """Return the file's bytes."""
        self._refuse_outside(name)
        path = self.folder / name
        try:
            file = found_file(path, str(path))
            return file.getvalue() if isinstance(file, io.BytesIO) else Path(file).read_bytes()
        except OSError as error:
            raise unusable(str(path), "unreadable file", f"{path} cannot be read: {error.strerror}") from error

    def image_names(self) -> list[str]:
        """Return the names of all image files, sorted; symbolic links to folders are not followed."""
        names = [
            os.path.relpath(os.path.join(folder, file), self.folder).replace(os.sep, "/")
            for folder, _, files in os.walk(self.folder)
            for file in files
        ]
        return sorted(name for name in names if _is_image_name(name))

    def path_of(self, name: str) -> str:
        """Return the path of the file."""
        return str(self.folder / name)

    def _is_outside(self, name: str) -> bool:
        """Return whether the file that a name means, symbolic links resolved, is outside the folder and must not be."""
        match self.names:
            case "anywhere":
                return False
            case "inside":
                return not is_inside(self.folder / name, self.folder)
            case unknown:
                assert_never(unknown)

    def _refuse_outside(self, name: str) -> None:
        if self._is_outside(name):
            hint = f"is outside {self.folder}, symbolic links resolved; ?names=anywhere allows it"
            raise unusable(self.path_of(name), "image outside", f"{self.path_of(name)} {hint}")


@final
class ZippedImages:
    """Images in a zip file, read without extracting it.

    A top folder that contains everything may be left out of names, since people often zip a folder for its content.
    A name may also be spelled otherwise than the member's, see `sycoca.file_names`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._archive: zipfile.ZipFile | None = None
        self._owner = -1
        try:
            members = self._opened().infolist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise ValueError(f"{path} is a broken zip file: {error}") from error
        if len(members) > input_limit("zip_members"):
            raise InputLimitError(f"{path} has {len(members):,} members: {stated_limit('zip_members')}")
        self._members = {_member_name(member): member for member in members}
        self._names = [name for name in self._members if _is_image_name(name)]
        self._wrappers = ["", *wrapping_folders(self._names, levels_left=0)]
        self._meant: dict[str, list[str]] | None = None

    def open(self, name: str, smallest_side: int | None = None) -> Image.Image:
        """Read one image as RGB."""
        return open_rgb(io.BytesIO(self._read(name)), f"{self._path}/{name}", smallest_side)

    def fingerprint(self, name: str) -> Fingerprint | None:
        """Return the archive's absolute path with the member's name, size in bytes and CRC."""
        if (member := self._member(name)) is None:
            return None
        return f"{os.path.abspath(self._path)}/{member.filename}", member.file_size, member.CRC

    def content(self, name: str) -> bytes:
        """Return the member's bytes, unpacked."""
        return self._read(name)

    def image_names(self) -> list[str]:
        """Return the names of all images, sorted, without top folders that contain everything."""
        wrapper = ["", *wrapping_folders(self._names)][-1]
        return sorted(name.removeprefix(wrapper) for name in self._names)

    def path_of(self, name: str) -> str:
        """Return the path of the zip file, followed by the member's name in it."""
        member = self._member(name)
        return f"{self._path}/{name if member is None else member.filename}"

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return ZippedImages, (self._path,)

    def _member(self, name: str) -> zipfile.ZipInfo | None:
        spellings = (wrapper + name for wrapper in self._wrappers)
        exact = next((self._members[full] for full in spellings if full in self._members), None)
        return self._meant_member(name) if exact is None else exact

    def _meant_member(self, name: str) -> zipfile.ZipInfo | None:
        """Return the only member that may be meant by a name that is no member's."""
        if self._meant is None:
            self._meant = {}
            for member in self._names:
                self._meant.setdefault(meant_name(member), []).append(member)
        wanted = posixpath.normpath(meant_name(name))
        found = [self._meant[full] for wrapper in self._wrappers if (full := wrapper + wanted) in self._meant]
        return self._members[found[0][0]] if found and len(found[0]) == 1 else None

    def _read(self, name: str) -> bytes:
        where = f"{self._path}/{name}"
        try:
            member = self._member(name)
            if member is None:
                raise unusable(
                    where, "missing image", f"{self._path} has no member {name!r}; {self._missing_hint(name)}"
                )
            return unpacked(self._opened(), member, where).getvalue()
        except UnusableSampleError:
            raise
        # Encrypted, or compressed by an unsupported method.
        except (RuntimeError, NotImplementedError) as error:
            detail = f"{where} cannot be unpacked: {error}; create the zip file again"
            raise unusable(where, "unreadable file", detail) from error
        except Exception as error:  # damaged data raises other errors for every compression method
            detail = f"{where} cannot be unpacked: {error or type(error).__name__}; the zip file is damaged"
            # No "broken image", which caches keep: in a whole copy of the zip file, size and CRC are the same.
            raise unusable(where, "unreadable file", detail) from error

    def _missing_hint(self, name: str) -> str:
        is_old = any(not one.filename.isascii() and not one.flag_bits & _IS_UTF8 for one in self._members.values())
        if not name.isascii() and is_old:
            return "its names are in an old encoding; pack it again with names in UTF-8"
        alike = [other for other in self._names if other.casefold() == name.casefold()]
        if len(alike) == 1:
            return f"there is {alike[0]!r}, which differs in upper and lower case; name it so"
        return "check the name"

    def _opened(self) -> zipfile.ZipFile:
        # Forked loader workers would share a file position, so each process opens the file itself.
        if self._archive is None or self._owner != os.getpid():
            self._archive = zipfile.ZipFile(self._path)
            self._owner = os.getpid()
        return self._archive


def _member_name(member: zipfile.ZipInfo) -> str:
    """Return a member's name as it was meant: programs of the Mac write UTF-8 and do not say so."""
    name = member.filename
    if not name.isascii() and not member.flag_bits & _IS_UTF8:
        with suppress(UnicodeError):  # then it is the encoding of old programs indeed
            name = name.encode("cp437").decode()
    # Some programs of Windows write backslashes, against the format's rules.
    return name.replace("\\", "/")


def is_same_image(files: ImageFiles, name: str, other: str) -> bool:
    """Return whether two names are those of one file."""
    found = files.fingerprint(name)
    return found is not None and found == files.fingerprint(other)


def wrapping_folders(names: Sequence[str], levels_left: int = 1) -> list[str]:
    """Return the folders, outer ones first, that hold every image and leave it that many folders of its own."""
    if not names:
        return []
    folders = [name.split("/")[:-1] for name in names]
    depth = max(0, min(map(len, folders)) - levels_left)
    # A common prefix of the first and last of a sorted list is common to all.
    ends = zip(min(folders)[:depth], max(folders)[:depth], strict=True)
    shared = [one for one, _ in takewhile(lambda pair: pair[0] == pair[1], ends)]
    return ["/".join(shared[: i + 1]) + "/" for i in range(len(shared))]


def _is_image_name(name: str) -> bool:
    """Return whether a name has the suffix of an image and no part of it is hidden."""
    return not any(map(is_hidden, name.split("/"))) and has_suffix(name, *IMAGE_SUFFIXES)


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is hidden by its name: a leading dot, or what a Mac adds to zip files."""
    return name.startswith((".", "__MACOSX"))
