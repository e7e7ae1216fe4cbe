import io
import tarfile
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.shards import member, tar_bytes
from sycoca.data.formats.shards.tar_members import BLOCK, Damage, Member, TarBytes, tar_members


def read(data: bytes) -> list[Member | Damage]:
    return list(tar_members(TarBytes(lambda offset, size: data[offset : offset + size], len(data))))


def by_tarfile(data: bytes) -> list[tuple[str, int, int]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        return [(one.name, one.offset_data, one.size) for one in opened if not one.isdir()]


def written(names: list[str], contents: list[bytes], form: Literal[0, 1, 2]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as opened:
        for name, content in zip(names, contents, strict=True):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    return file.getvalue()


NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), min_size=1, max_size=180)


@given(st.lists(st.tuples(NAMES, st.binary(max_size=1500)), max_size=6), st.sampled_from([0, 1, 2]))
@settings(deadline=None, max_examples=150)
def test_members_are_those_that_tarfile_finds(members: list[tuple[str, bytes]], form: Literal[0, 1, 2]):
    names = [name.strip() or "x" for name, _ in members]
    if form == tarfile.USTAR_FORMAT:
        names = [name.encode()[:80].decode(errors="ignore") for name in names]
    data = written(names, [content for _, content in members], form)
    found = [(one.name, one.offset, one.size) for one in read(data) if isinstance(one, Member)]
    assert found == by_tarfile(data)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_sizes_of_more_than_eight_gigabytes_are_read(form: Literal[0, 1, 2]):
    info = tarfile.TarInfo("a/" + "x" * 200 + ".jpg")
    info.size = 2**40
    header = info.tobuf(form)
    holes = b"\0" * 2**20

    def piece(offset: int, size: int) -> bytes:
        return header[offset : offset + size] if offset < len(header) else holes[:size]

    (found,) = tar_members(TarBytes(piece, len(header) + 2**40))
    assert isinstance(found, Member)
    assert (found.name, found.offset, found.size) == (info.name, len(header), 2**40)


def test_folders_are_left_out_and_links_and_pipes_are_no_files():
    kinds = [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.REGTYPE, tarfile.AREGTYPE]
    data = b"".join(member(f"{number}.jpg", kind=kind) for number, kind in enumerate(kinds)) + member("old/")
    assert [(one.name, one.kind) for one in read(data) if isinstance(one, Member)] == [
        ("1.jpg", "link"),
        ("2.jpg", "link"),
        ("3.jpg", "other"),
        ("4.jpg", "file"),
        ("5.jpg", "file"),
    ]


def test_reading_goes_on_behind_a_damaged_header():
    parts = [member(f"{number}.txt", b"text" * 300) for number in range(5)]
    data = bytearray(b"".join(parts))
    begin = 2 * len(parts[0])
    data[begin : begin + BLOCK] = bytes(range(256)) * 2
    names = [one.name if isinstance(one, Member) else one.offset for one in read(bytes(data))]
    assert names == ["0.txt", "1.txt", begin, "3.txt", "4.txt"]


def test_a_truncated_tar_names_the_member_that_it_ends_in():
    data = tar_bytes([("a.jpg", b"1" * 700), ("b.jpg", b"2" * 700)])
    found = read(data[: 3 * BLOCK + BLOCK + 100])
    assert [one.member for one in found if isinstance(one, Damage)] == ["b.jpg"]
    assert [one.name for one in found if isinstance(one, Member)] == ["a.jpg"]


def test_a_size_beyond_the_end_costs_its_own_member_only():
    info = tarfile.TarInfo("bomb.jpg")
    info.size = 2**33 - 1
    data = member("a.jpg", b"1") + info.tobuf(tarfile.USTAR_FORMAT) + member("b.jpg", b"2")
    found = read(data)
    assert [one.name if isinstance(one, Member) else one.member for one in found] == ["a.jpg", "bomb.jpg", "b.jpg"]


def test_joined_tars_are_read_to_the_end_and_long_zeros_are_passed():
    one, other = tar_bytes([("a.txt", b"1")]), tar_bytes([("b.txt", b"2")])
    assert [found.name for found in read(one + b"\0" * 3 * 2**20 + other) if isinstance(found, Member)] == [
        "a.txt",
        "b.txt",
    ]


def test_images_are_passed_without_reading_them():
    data = b"".join(member(f"{number}.jpg", b"x" * 200_000) + member(f"{number}.txt", b"t") for number in range(20))
    pieces: list[int] = []

    def piece(offset: int, size: int) -> bytes:
        pieces.append(size)
        return data[offset : offset + size]

    assert len(list(tar_members(TarBytes(piece, len(data))))) == 40
    assert sum(pieces) < len(data) / 8


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_random_bytes_anywhere_end_in_members_and_damages(data: st.DataObject):
    tar = bytearray(tar_bytes([(f"{number}.txt", b"t" * number * 97) for number in range(12)]))
    for _ in range(data.draw(st.integers(1, 4))):
        begin = data.draw(st.integers(0, len(tar) - 1))
        piece = data.draw(st.binary(min_size=1, max_size=700))
        tar[begin : begin + len(piece)] = piece
    cut = data.draw(st.integers(0, len(tar)))
    for one in read(bytes(tar[:cut])):
        assert 0 <= one.offset <= cut
        if isinstance(one, Member):
            assert one.offset + one.size <= cut
