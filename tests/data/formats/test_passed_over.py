import logging
import os
import zipfile
from pathlib import Path

import pytest

from builders.shards import image_bytes
from sycoca.data.formats.passed_over import passed_over
from sycoca.data.image_arguments import open_images
from sycoca.data.spec import open_source


def write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(image_bytes())
    return folder


def test_images_of_other_kinds_are_counted(tmp_path: Path):
    photos = write(tmp_path / "photos", "a.jpg", "b.HEIC", "c/d.heic", "e.jfif", "notes.txt", ".f.heic", ".g/h.heic")
    assert passed_over(photos) == (
        f"{photos}: passed over: 2 .heic, 1 .jfif (JPEG, PNG, WEBP, GIF, TIFF and BMP are read; convert these, and call"
        " JPEG files .jpg)"
    )
    assert passed_over(write(tmp_path / "all", "a.jpg", "b.txt", "c.json")) is None


def test_images_of_other_kinds_in_a_zip_file_are_counted(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for name in ("a.jpg", "b.avif", "__MACOSX/._b.avif"):
            archive.writestr(name, image_bytes())
    assert "passed over: 1 .avif (" in str(passed_over(tmp_path / "photos.zip"))


def test_linked_folders_are_named_where_they_hold_images(tmp_path: Path):
    classes = write(tmp_path / "classes", "cat/0.jpg")
    (classes / "dog").symlink_to(write(tmp_path / "elsewhere", "1.jpg"))
    (classes / "texts").symlink_to(write(tmp_path / "others", "1.txt"))
    assert passed_over(classes) == (
        f"{classes}: passed over: 1 linked folder: {classes}/dog (links to folders are not followed; name the folder"
        " itself)"
    )


def test_folders_that_cannot_be_listed_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path, "a.jpg", "lost+found/b.jpg")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if os.path.basename(path) == "lost+found":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert f"1 locked folder: {tmp_path}/lost+found (no permission" in str(passed_over(tmp_path))


@pytest.mark.parametrize("opens", [open_source, open_images])
def test_who_opens_the_folder_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture, opens):
    photos = str(write(tmp_path, "a.jpg", "b.heic"))
    with caplog.at_level(logging.WARNING):
        opens(photos)
        opens(photos)
    assert [record.message for record in caplog.records] == [passed_over(tmp_path)]


@pytest.mark.parametrize("opens", [open_source, open_images])
def test_a_folder_of_such_images_alone_is_an_error_that_counts_them(tmp_path: Path, opens):
    with pytest.raises(ValueError, match=r"has no images .*; .*passed over: 2 \.heic \(JPEG"):
        opens(str(write(tmp_path, "a.heic", "b.heic")))
