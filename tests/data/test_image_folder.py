import pytest
from PIL import Image

from sycoca.data.image_folder import FolderSource
from sycoca.data.samples import SampleSource


def save(path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (3, 2)).save(path)


def test_the_folders_name_is_label_and_caption(tmp_path):
    save(tmp_path / "hot_dog" / "b.JPG")
    save(tmp_path / "ant" / "deep" / "a.png")
    save(tmp_path / "no_class.png")
    (tmp_path / "ant" / "notes.txt").write_text("x")
    source = FolderSource(tmp_path)
    assert isinstance(source, SampleSource)
    samples = [source[index] for index in range(len(source))]
    assert [sample.key for sample in samples] == ["ant/deep/a.png", "hot_dog/b.JPG"]
    assert [sample.label for sample in samples] == ["ant", "hot dog"]
    assert [sample.captions for sample in samples] == [("ant",), ("hot dog",)]
    assert samples[0].open_image().mode == "RGB"
    assert samples[0].open_image().size == (3, 2)


def test_limit(tmp_path):
    for number in range(9):
        save(tmp_path / f"class {number}" / "x.png")
    source = FolderSource(tmp_path, limit=2)
    assert [source[index].label for index in range(len(source))] == ["class 0", "class 1"]


def test_refuses_folders_without_class_folders(tmp_path):
    save(tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"has no images in class folders \(expected .*/CLASS/image.jpg\)"):
        FolderSource(tmp_path)
    with pytest.raises(ValueError, match=r"gone is not a folder"):
        FolderSource(tmp_path / "gone")
