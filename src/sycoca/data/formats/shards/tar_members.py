"""Members of a tar file, found from their headers: where each lies, and which parts of the file are damaged.

The formats are ustar, pax, and GNU's long names and large sizes. Python's tarfile ends silently at the first damaged
header; here reading resumes at the next sound one.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, final

from sycoca.facts.input_limits import input_limit, stated_limit

BLOCK = 512
"""Bytes of a header; the content of a member takes whole blocks."""

MemberKind = Literal["file", "link", "other"]
"""Kinds of members; others are devices, pipes and files with holes."""

_KINDS: dict[bytes, MemberKind] = {b"0": "file", b"\0": "file", b"7": "file", b"1": "link", b"2": "link"}
_FOLDER = b"5"
_LONG_NAME, _LONG_LINK, _PAX, _GLOBAL_PAX = b"L", b"K", b"x", b"g"
_EXTENSIONS = frozenset({_LONG_NAME, _LONG_LINK, _PAX, _GLOBAL_PAX})
"""Types of headers whose content describes the next member."""

_CHECKSUM = slice(148, 156)
_ADLER = 65_521
"""The prime that both halves of Adler-32 are remainders of."""

_MAGIC, _MAGIC_OFFSET = b"ustar", 257
"""The name of the format in a header, and where it stands."""

_MOST_ZEROS = 2**30
"""Bytes of zeros behind which nothing more is looked for."""

_LEAST_WINDOW, _MOST_WINDOW = 8 * 2**10, 2**20

ReadBytes = Callable[[int, int], bytes]
"""Returns the bytes of a file from an offset on, so many or fewer at its end."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a tar file."""

    name: str
    """Its name; bytes that are not UTF-8 are lone surrogates, as Python has them in names of files."""

    kind: MemberKind
    """What it is."""

    offset: int
    """Where its content begins."""

    size: int
    """Bytes of its content."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A part of a tar file that cannot be read."""

    offset: int
    """Where it begins."""

    detail: str
    """What is wrong, as the rest of a sentence about the file."""

    member: str | None = None
    """The member whose content is damaged, where its name is known."""


@final
class TarBytes:
    """The bytes of a tar file, read through a window that grows while reading is sequential."""

    def __init__(self, read: ReadBytes, size: int) -> None:
        self.size = size
        self._read = read
        self._start, self._window = 0, b""
        self._length = _LEAST_WINDOW

    def at(self, offset: int, size: int) -> bytes:
        """Return so many bytes from there on, or fewer at the end of the file."""
        begin = offset - self._start
        if begin < 0 or begin + size > len(self._window):
            self._move(offset, size)
            begin = 0
        return self._window[begin : begin + size]

    def _move(self, offset: int, size: int) -> None:
        is_near = 0 <= offset - self._start <= len(self._window)
        self._length = min(2 * self._length, _MOST_WINDOW) if is_near else _LEAST_WINDOW
        self._window = self._read(offset, max(size, self._length))
        self._start = offset


def tar_members(file: TarBytes) -> Iterator[Member | Damage]:
    """Yield the members of a tar file in order, without folders, and the parts of it that are damaged."""
    if file.size == 0:
        yield Damage(0, "is empty (0 bytes)")
    offset, described = 0, _Described()
    while (offset := _behind_zeros(file, offset)) < file.size:
        header = _header(file.at(offset, BLOCK))
        if header is None:
            begin, offset = offset, _next_header(file, offset + BLOCK)
            described = _Described()
            yield Damage(begin, f"has {offset - begin:,} bytes from byte {begin:,} on that are no tar header")
            continue
        content = offset + BLOCK
        size = header.size if described.size is None or header.kind in _EXTENSIONS else described.size
        if content + size > file.size:
            name = (described.name or header.name).decode("utf-8", "surrogateescape")
            missing = content + size - file.size
            yield Damage(offset, f"ends within the member at byte {offset:,}, {missing:,} bytes short", name)
            offset, described = _next_header(file, content), _Described()
            continue
        if header.kind not in _EXTENSIONS:
            member = described.member(header, content, size)
            described = _Described()
            if header.kind != _FOLDER and not member.name.endswith("/"):  # as old programs mark folders
                yield member
        elif size <= input_limit("line_bytes"):
            described.take(header.kind, file.at(content, size))
        else:
            yield Damage(offset, f"has a name of {size:,} bytes at byte {offset:,}; {stated_limit('line_bytes')}")
        offset = content + -(-size // BLOCK) * BLOCK


def is_header_of(block: bytes, size: int) -> bool:
    """Return whether a block is the header of a member with so many bytes."""
    header = _header(block)
    return header is not None and header.size == size


@dataclass(frozen=True, slots=True)
class _Header:
    name: bytes
    kind: bytes
    size: int


@dataclass(slots=True)
class _Described:
    """What headers of extensions say about the next member."""

    name: bytes | None = None
    size: int | None = None
    has_holes: bool = False

    def take(self, kind: bytes, content: bytes) -> None:
        if kind == _LONG_NAME:
            self.name = content.rstrip(b"\0")
        elif kind == _PAX:
            for key, value in _pax_records(content):
                if key == b"path":
                    self.name = value
                elif key == b"size" and value.isdigit() and len(value) < 19:
                    self.size = int(value)
                elif key.startswith(b"GNU.sparse."):
                    self.has_holes = True

    def member(self, header: _Header, offset: int, size: int) -> Member:
        name = header.name if self.name is None else self.name
        kind = "other" if self.has_holes else _KINDS.get(header.kind, "other")
        return Member(name.decode("utf-8", "surrogateescape"), kind, offset, size)


def _header(block: bytes) -> _Header | None:
    """Return what a header says; None where its checksum does not fit, or a number is none."""
    if len(block) < BLOCK:
        return None
    checksum, size = _number(block[_CHECKSUM]), _number(block[124:136])
    if checksum is None or size is None or not _has_checksum(block, checksum):
        return None
    name = block[:100].partition(b"\0")[0]
    # Only ustar has a prefix; GNU's format has other fields there.
    if block[257:263] == b"ustar\0" and block[345]:
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    return _Header(name, block[156:157], size)


def _has_checksum(block: bytes, checksum: int) -> bool:
    """Return whether the bytes of a header add up to that, its checksum field taken as spaces.

    Adler-32's lower half is that sum, modulo a prime, and computed thirty times as fast as Python adds bytes.
    """
    total = (zlib.adler32(block) & 0xFFFF) - 1 - sum(block[_CHECKSUM]) + 8 * ord(" ")
    return (total - checksum) % _ADLER == 0 or checksum == _signed_sum(block)


def _signed_sum(block: bytes) -> int:
    """Return the sum as some old programs compute it, with bytes from -128 to 127."""
    fields = block[:148] + b" " * 8 + block[156:]
    return sum(fields) - 256 * sum(byte > 127 for byte in fields)


def _number(field: bytes) -> int | None:
    """Return a number of a header, in octal digits or in GNU's base 256; None where it is none."""
    if field[0] == 0x80:
        value = int.from_bytes(field[1:], "big")
        return value if value < 2**62 else None
    digits = field.partition(b"\0")[0].strip(b" ")
    try:
        return int(digits or b"0", 8) if digits.isalnum() or not digits else None
    except ValueError:
        return None


def _pax_records(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the fields of a pax header: lines such as ``27 path=a/very/long/name``."""
    while content:
        length, space, _ = content.partition(b" ")
        if not space or not length.isdigit() or not 0 < int(length[:9]) <= len(content):
            return
        key, _, value = content[len(length) + 1 : int(length[:9]) - 1].partition(b"=")
        yield key, value
        content = content[int(length[:9]) :]


def _behind_zeros(file: TarBytes, offset: int) -> int:
    """Return where the first block with content is, or the end: two blocks of zeros end a tar, others may follow it."""
    most = offset + _MOST_ZEROS
    while offset < file.size:
        if any(file.at(offset, 1)) or any(file.at(offset, BLOCK)):
            return offset
        piece = file.at(offset, _MOST_WINDOW)
        zeros = len(piece) - len(piece.lstrip(b"\0"))
        offset += max(zeros // BLOCK, 1) * BLOCK
        if offset > most:
            return file.size
    return file.size


def _next_header(file: TarBytes, offset: int) -> int:
    """Return where the next sound header is, or the end of the file; one without a format's name is not trusted."""
    while offset < file.size:
        piece = file.at(offset, _MOST_WINDOW)
        found = piece.find(_MAGIC)
        while found >= 0:
            begin = offset + found - _MAGIC_OFFSET
            if begin >= offset and begin % BLOCK == 0 and _header(file.at(begin, BLOCK)) is not None:
                return begin
            found = piece.find(_MAGIC, found + 1)
        offset += len(piece) // BLOCK * BLOCK or BLOCK
    return file.size
