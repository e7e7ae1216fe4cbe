import io
import os
import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from sycoca.data.formats.image_files import StoredImage, open_image_files, wrapping_folders
from sycoca.preprocess.decoding import open_rgb
from sycoca.unusable import LASTING_REASONS, SkippedSample, UnusableSampleError


@pytest.fixture
def archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as file:
        for shade in range(20):
            Image.new("RGB", (30, 30), (shade, 0, 0)).save(tmp_path / "one.png")
            file.write(tmp_path / "one.png", f"{shade}.png")
        file.writestr("broken.png", b"nothing")
    return tmp_path / "all.zip"


def test_members_of_a_zip_file(archive):
    images = open_image_files(archive)
    assert [np.asarray(images.open(f"{shade}.png"))[0, 0, 0] for shade in range(20)] == list(range(20))
    with pytest.raises(ValueError, match=r"all.zip has no member '77.png'"):
        images.open("77.png")
    with pytest.raises(ValueError, match=r"all.zip/broken.png cannot be read as an image"):
        images.open("broken.png")


def test_forked_processes_do_not_share_a_file_position(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (8, 200, 200, 3), dtype=np.uint8)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as file:
        for number, each in enumerate(pixels):
            Image.fromarray(each).save(tmp_path / "one.bmp")
            file.write(tmp_path / "one.bmp", f"{number}.bmp")
    images = open_image_files(tmp_path / "all.zip")
    images.open("0.bmp")
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            is_right = False
            try:
                numbers = [number for _ in range(15) for number in range(8)]
                is_right = all(np.array_equal(images.open(f"{number}.bmp"), pixels[number]) for number in numbers)
            finally:
                os._exit(0 if is_right else 1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]


def test_refuses_what_is_neither_folder_nor_zip_file(tmp_path):
    (tmp_path / "x.txt").write_text("x")
    for name in ("x.txt", "gone"):
        with pytest.raises(ValueError, match=f"images must be a folder or a zip file, .*{name} is neither"):
            open_image_files(tmp_path / name)


def test_a_stored_image_opens_and_tells_one_state_of_its_file_from_others(tmp_path, archive):
    Image.new("RGB", (30, 30), (7, 0, 0)).save(tmp_path / "7.png")
    for files in (tmp_path, archive):
        stored = StoredImage(open_image_files(files), "7.png")
        assert np.asarray(stored())[0, 0].tolist() == [7, 0, 0]
        assert StoredImage(open_image_files(files), "77.png").fingerprint() is None
        fingerprint = stored.fingerprint()
        assert fingerprint is not None
        assert fingerprint[:2] == (str(files / "7.png"), (tmp_path / "7.png").stat().st_size)
        assert pickle.loads(pickle.dumps(stored)).fingerprint() == fingerprint
    beside = StoredImage(open_image_files(tmp_path), "7.png")
    before = beside.fingerprint()
    os.utime(tmp_path / "7.png", ns=(5, 5))
    assert before is not None
    assert beside.fingerprint() == (*before[:2], 5)
    with zipfile.ZipFile(archive) as file:
        assert StoredImage(open_image_files(archive), "3.png").fingerprint() == (
            f"{archive}/3.png",
            file.getinfo("3.png").file_size,
            file.getinfo("3.png").CRC,
        )


def test_names_that_no_file_can_have_have_no_fingerprint(tmp_path):
    for name in ("a\0b.png", "x" * 5000):
        assert StoredImage(open_image_files(tmp_path), name).fingerprint() is None


def png(side: int) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((side, side), 50).save(file, "PNG")
    return file.getvalue()


def open_error(path, name: str) -> SkippedSample:
    with pytest.raises(UnusableSampleError) as caught:
        open_image_files(path).open(name)
    return caught.value.skipped


def test_a_folder_that_wraps_the_archive_may_be_left_out(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as file:
        file.writestr("__MACOSX/._0.png", b"")
        file.writestr("outer/inner/a.png", png(5))
        file.writestr("outer/inner/sub/a.png", png(6))
        file.writestr("readme.txt", b"")
    images = open_image_files(tmp_path / "all.zip")
    for name in ("outer/inner/a.png", "inner/a.png", "a.png"):
        assert images.open(name).size == (5, 5)
    assert images.open("sub/a.png").size == (6, 6)
    assert open_error(tmp_path / "all.zip", "../a.png").reason == "missing image"
    assert open_error(tmp_path / "all.zip", "").reason == "missing image"
    assert images.image_names() == ["inner/a.png", "inner/sub/a.png"]


def test_members_over_the_limit_are_refused_before_they_are_unpacked(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb.png", bytes(2**20 + 1))
        file.writestr("empty.png", b"")
    monkeypatch.setenv("SYCOCA_MAX_MEMBER_BYTES", str(2**20))
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("it was unpacked"))
    assert open_error(tmp_path / "all.zip", "bomb.png").reason == "file too large"
    assert open_error(tmp_path / "all.zip", "empty.png").reason == "empty file"


def test_a_damaged_member_is_named(tmp_path):
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.png", png(50))
        file.writestr("b.png", png(50))
    data = bytearray(path.read_bytes())
    data[200] ^= 255
    path.write_bytes(data)
    skipped = open_error(path, "a.png")
    assert (skipped.name, skipped.reason) == (f"{path}/a.png", "unreadable file")
    assert skipped.reason not in LASTING_REASONS, "once the zip file is fetched again, the fingerprint is the same"
    assert skipped.detail.endswith("; the zip file is damaged")
    assert open_image_files(path).open("b.png").size == (50, 50)


def test_a_member_with_a_password_is_named(tmp_path):
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.png", png(5))
    data = bytearray(path.read_bytes())
    for header, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(header) + place] |= 1
    path.write_bytes(data)
    skipped = open_error(path, "a.png")
    assert skipped.reason == "unreadable file"
    assert "is encrypted, password required" in skipped.detail
    assert skipped.detail.endswith("; create the zip file again")


def test_a_damaged_archive_is_refused(archive):
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02")] ^= 255
    archive.write_bytes(data)
    with pytest.raises(ValueError, match=r"all.zip is a broken zip file: Bad magic number for central directory"):
        open_image_files(archive)


def test_names_that_no_file_can_have_are_refused(tmp_path, archive):
    for name in ("a\0b.png", "x" * 5000):
        assert open_error(tmp_path, name).reason == "unreadable file"
        assert open_error(archive, name).reason == "missing image"


@pytest.mark.parametrize(
    ("names", "levels_left", "expected"),
    [
        ([], 1, []),
        (["a.png"], 1, []),
        (["a/1.png", "b/1.png"], 0, []),
        (["a/1.png", "a/2.png"], 1, []),
        (["a/1.png", "a/2.png"], 0, ["a/"]),
        (["t/a/1.png", "t/b/1.png"], 1, ["t/"]),
        (["t/u/a/1.png", "t/u/b/x/1.png"], 1, ["t/", "t/u/"]),
        (["t/a/x/1.png", "t/a/y/1.png", "t/b/1.png"], 1, ["t/"]),
        (["t/a/1.png", "t/2.png"], 1, []),
        (["ab/c/1.png", "abc/c/1.png"], 1, []),
    ],
)
def test_folders_that_hold_everything(names, levels_left, expected):
    assert wrapping_folders(names, levels_left) == expected


def zip_of(path, *names: str):
    """Return a zip file whose members are called so, and each a picture of its own shade."""
    with zipfile.ZipFile(path, "w") as file:
        for shade, name in enumerate(names):
            content = io.BytesIO()
            Image.new("RGB", (8, 8), (shade, 0, 0)).save(content, "png")
            file.writestr(name, content.getvalue())
    return path


@pytest.mark.parametrize(
    "asked", ["photos/caf\u00e9.png", "photos/cafe\u0301.png", " photos/caf\u00e9.png", "./photos/x/../caf\u00e9.png"]
)
def test_a_member_is_found_by_a_name_that_is_written_otherwise(tmp_path, asked):
    images = open_image_files(zip_of(tmp_path / "all.zip", "tea.png", "photos/cafe\u0301.png"))
    assert np.asarray(images.open(asked))[0, 0, 0] == 1
    assert images.fingerprint("photos\\caf\u00e9.png") == images.fingerprint("photos/cafe\u0301.png") is not None


def test_of_two_members_the_exact_one_is_taken(tmp_path):
    images = open_image_files(zip_of(tmp_path / "all.zip", "caf\u00e9.png", "cafe\u0301.png"))
    assert [np.asarray(images.open(name))[0, 0, 0] for name in ("caf\u00e9.png", "cafe\u0301.png")] == [0, 1]
    with pytest.raises(ValueError, match="has no member"):
        images.open(" caf\u00e9.png")


def test_names_that_a_mac_or_windows_wrote_are_read_as_meant(tmp_path, monkeypatch):
    # Python would mark the names as UTF-8; programs of the Mac do not.
    monkeypatch.setattr(zipfile.ZipInfo, "_encodeFilenameFlags", lambda info: (info.filename.encode(), info.flag_bits))
    path = zip_of(tmp_path / "all.zip", "cafe\u0301/1.png", "tea\\2.png")
    assert open_image_files(path).image_names() == ["cafe\u0301/1.png", "tea/2.png"]
    assert np.asarray(open_image_files(path).open("tea/2.png"))[0, 0, 0] == 1


def test_files_in_a_folder_are_found_and_known_by_other_spellings(tmp_path):
    (tmp_path / "cafe\u0301").mkdir()
    Image.new("RGB", (8, 8), (7, 0, 0)).save(tmp_path / "cafe\u0301" / "0.png")
    images = open_image_files(tmp_path)
    for name in ("caf\u00e9/0.png", "caf\u00e9\\0.png", "cafe\u0301/0.png "):
        assert np.asarray(images.open(name))[0, 0, 0] == 7
        assert images.fingerprint(name) == images.fingerprint("cafe\u0301/0.png")
    assert open_image_files(tmp_path / "caf\u00e9").image_names() == ["0.png"]


def test_a_path_goes_on_in_a_zip_file(tmp_path):
    path = zip_of(tmp_path / "all.zip", "tea.png", "photos/caf\u00e9.png")
    images = open_image_files(path)
    paths = [images.path_of(name) for name in images.image_names()]
    assert paths == [f"{path}/photos/caf\u00e9.png", f"{path}/tea.png"]
    assert np.asarray(open_rgb(images.path_of("photos/caf\u00e9.png")))[0, 0, 0] == 1
    folder = open_image_files(tmp_path)
    assert np.asarray(folder.open("all.zip/tea.png"))[0, 0, 0] == 0
    assert folder.content("all.zip/tea.png") == images.content("tea.png")
    for name in ("all.zip/gone.png", "all.zip", "none.zip/tea.png"):
        with pytest.raises(UnusableSampleError, match="cannot be read as an image"):
            open_rgb(tmp_path / name)


def test_a_missing_member_may_be_close(tmp_path, monkeypatch):
    images = open_image_files(zip_of(tmp_path / "all.zip", "Tea.png"))
    with pytest.raises(UnusableSampleError, match=r"there is 'Tea.png', which differs in upper and lower case"):
        images.open("tea.png")
    # As old programs of Windows write Chinese names: neither UTF-8 nor marked as such.
    monkeypatch.setattr(
        zipfile.ZipInfo, "_encodeFilenameFlags", lambda info: (info.filename.encode("gbk"), info.flag_bits)
    )
    images = open_image_files(zip_of(tmp_path / "old.zip", "\u732b.png"))
    with pytest.raises(
        UnusableSampleError, match="its names are in an old encoding; pack it again with names in UTF-8"
    ):
        images.open("\u732b.png")


def test_a_zip_file_of_too_many_members_is_refused_by_name(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as file:
        for name in "abc":
            file.writestr(f"{name}.png", b"x")
    monkeypatch.setenv("SYCOCA_MAX_ZIP_MEMBERS", "3")
    assert open_image_files(tmp_path / "all.zip").image_names() == ["a.png", "b.png", "c.png"]
    monkeypatch.setenv("SYCOCA_MAX_ZIP_MEMBERS", "2")
    with pytest.raises(
        ValueError, match=r"all\.zip has 3 members: the limit is 2 members of a zip file; SYCOCA_MAX_ZIP_MEMBERS"
    ):
        open_image_files(tmp_path / "all.zip")
