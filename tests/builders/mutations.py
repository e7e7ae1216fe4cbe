"""Seeded damage of files: flipped bits, lengths, pieces that are cut, doubled, swapped or replaced."""

import random
from collections.abc import Callable

_TOKENS = (
    *(
        b"[" * 40,
        b'{"a":' * 40,
        b"1e999",
        b"-1",
        b"0",
        b"null",
        b"{}",
        b"[]",
        b"NaN",
        b'"',
        b"'",
        b",",
        b"\n",
        b"\r",
        b"\0",
    ),
    *(
        b"2020-13-01",
        b"9" * 5000,
        b"0x" + b"f" * 5000,
        b"\xff",
        b"\\ud800",
        b"&a *a",
        b"? ",
        b"- ",
        b": ",
        b"!!python/name:os.system",
    ),
    *(
        b"true",
        b"../" * 3,
        b"/etc/passwd",
        b"&#" + b"1" * 5000 + b";",
        b"\xef\xbb\xbf",
        b"a" * 300,
        b"9223372036854775808",
    ),
)
_LENGTHS = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\0\0\1\0", b"\xff\xff", b"\0")


def mutated(data: bytes, generator: random.Random) -> bytes:
    """Return a file with one to four random damages."""
    for _ in range(generator.randint(1, 4)):
        data = generator.choice(_MUTATIONS)(data, generator)
    return data


def _cut_out(data: bytes, generator: random.Random) -> tuple[int, int]:
    begin = generator.randint(0, len(data))
    return begin, min(len(data), begin + generator.choice((1, 4, 16, 64, 1000)))


def _flip_bits(data: bytes, generator: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(generator.randint(1, 8) if data else 0):
        changed[generator.randrange(len(changed))] ^= 1 << generator.randrange(8)
    return bytes(changed)


def _truncate(data: bytes, generator: random.Random) -> bytes:
    return data[: generator.randint(0, len(data))]


def _set_length(data: bytes, generator: random.Random) -> bytes:
    begin = generator.randint(0, min(len(data), generator.choice((64, 1000, 10**9))))
    length = generator.choice(_LENGTHS)
    return data[:begin] + length + data[begin + len(length) :]


def _insert_token(data: bytes, generator: random.Random) -> bytes:
    begin, end = _cut_out(data, generator)
    return data[:begin] + generator.choice(_TOKENS) + data[generator.choice((begin, end)) :]


def _replace_number(data: bytes, generator: random.Random) -> bytes:
    places = [i for i, byte in enumerate(data) if 48 <= byte <= 57]
    if not places:
        return _insert_token(data, generator)
    place = generator.choice(places)
    return data[:place] + generator.choice(_TOKENS) + data[place + 1 :]


def _remove(data: bytes, generator: random.Random) -> bytes:
    begin, end = _cut_out(data, generator)
    return data[:begin] + data[end:]


def _duplicate(data: bytes, generator: random.Random) -> bytes:
    begin, end = _cut_out(data, generator)
    return data[:end] + data[begin:end] * generator.choice((1, 1, 100)) + data[end:]


def _splice(data: bytes, generator: random.Random) -> bytes:
    begin, end = _cut_out(data, generator)
    place = generator.randint(0, len(data))
    return data[:place] + data[begin:end] + data[place:]


_MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip_bits,
    _truncate,
    _set_length,
    _insert_token,
    _replace_number,
    _remove,
    _duplicate,
    _splice,
)
