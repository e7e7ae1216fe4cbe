import json
import zipfile

import pytest
from PIL import Image

from sycoca.data.formats.image_files import ImageFolder, open_image_files
from sycoca.data.spec import open_source
from sycoca.unusable import UnusableSampleError


@pytest.fixture
def spec(tmp_path):
    """A file that names two images inside its folder and five outside of it."""
    folder = tmp_path / "set"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "set2").mkdir()
    for path in (folder / "own.png", folder / "sub" / "own.png", tmp_path / "secret.png", tmp_path / "set2" / "x.png"):
        Image.new("RGB", (4, 4)).save(path)
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "links").symlink_to(tmp_path)
    names = ["own.png", "sub/../sub/own.png", str(tmp_path / "secret.png"), "../secret.png", "link.png"]
    names += ["links/secret.png", "../set2/x.png"]
    rows = [json.dumps({"image": name, "caption": "a cat"}) for name in names]
    (folder / "a.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return str(folder / "a.jsonl")


def reasons(source):
    found, details = [], []
    for index in range(len(source)):
        try:
            source[index].open_image()
        except UnusableSampleError as error:
            found.append((source[index].key.split("/")[-1], error.skipped.reason))
            details.append(error.skipped.detail)
    assert all(one.endswith("symbolic links resolved; ?names=anywhere allows it") for one in details)
    return found


def test_images_outside_are_refused_and_counted(spec):
    expected = ["secret.png", "secret.png", "link.png", "secret.png", "x.png"]
    assert reasons(open_source(f"{spec}?names=inside")) == [(name, "image outside") for name in expected]
    assert reasons(open_source(spec)) == reasons(open_source(f"{spec}?names=anywhere")) == []


@pytest.mark.usefixtures("spec")
def test_nothing_outside_is_looked_at(tmp_path):
    files = open_image_files(tmp_path / "set", "inside")
    assert isinstance(files, ImageFolder)
    assert files.fingerprint("own.png") is not None
    assert files.fingerprint("link.png") is None
    with pytest.raises(UnusableSampleError, match="is outside"):
        files.content("../secret.png")
    for name in ("a\0.png", "/", ".."):
        with pytest.raises(UnusableSampleError):
            files.open(name)


def test_another_value_is_an_error(spec):
    with pytest.raises(ValueError, match="names"):
        open_source(f"{spec}?names=insid")


@pytest.mark.usefixtures("spec")
def test_members_with_other_folders_in_their_names_stay_in_the_zip_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../secret.png", b"no image")
        archive.write(tmp_path / "secret.png", "own.png")
    files = open_image_files(tmp_path / "a.zip")
    with pytest.raises(UnusableSampleError, match="it begins with"):
        files.open("../secret.png")
    with pytest.raises(UnusableSampleError, match="no member"):
        files.open(str(tmp_path / "secret.png"))
