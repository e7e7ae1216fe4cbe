import os
import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from sycoca.data.image_files import StoredImage, open_image_files


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
