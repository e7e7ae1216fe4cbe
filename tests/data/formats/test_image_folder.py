import os
import tarfile
import zipfile

import pytest
from PIL import Image

from sycoca.data.formats.image_folder import open_folder, read_class_names
from sycoca.data.formats.named_images import image_path
from sycoca.data.samples import SampleSource, skipped_samples
from sycoca.data.selection import Selection
from sycoca.data.spec import open_source


def save(path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (3, 2)).save(path)


def test_the_folders_name_is_label_and_caption(tmp_path):
    save(tmp_path / "hot_dog" / "b.JPG")
    save(tmp_path / "ant" / "deep" / "a.png")
    (tmp_path / "ant" / "notes.txt").write_text("x")
    save(tmp_path / "ant" / "._a.png")
    save(tmp_path / ".thumbnails" / "a.png")
    source = open_folder(tmp_path)
    assert isinstance(source, SampleSource)
    samples = [source[index] for index in range(len(source))]
    assert [sample.key for sample in samples] == ["ant/deep/a.png", "hot_dog/b.JPG"]
    assert [sample.label for sample in samples] == ["ant", "hot dog"]
    assert [sample.captions for sample in samples] == [("ant",), ("hot dog",)]
    assert source.skipped == []
    assert source.remarks == ()
    assert samples[0].open_image().mode == "RGB"
    assert samples[0].open_image().size == (3, 2)


def test_an_image_in_no_folder_takes_the_meaning_of_classes_from_all(tmp_path):
    save(tmp_path / "ant" / "a.png")
    save(tmp_path / "bee" / "b.png")
    save(tmp_path / "z.png")
    source = open_folder(tmp_path)
    samples = [source[index] for index in range(len(source))]
    assert [sample.key for sample in samples] == ["ant/a.png", "bee/b.png", "z.png"]
    assert [(sample.label, sample.captions) for sample in samples] == [(None, ())] * 3
    (remark,) = source.remarks
    assert remark == (
        f"{tmp_path}: 1 of 3 images lies in no folder (z.png), so no folder is a class; move such images into class"
        " folders for labels and captions"
    )


def test_limit(tmp_path):
    for number in range(9):
        save(tmp_path / f"class {number}" / "x.png")
    source = open_folder(tmp_path, wanted=Selection(limit=2))
    assert [source[index].label for index in range(len(source))] == ["class 0", "class 1"]


def test_refuses_folders_without_images(tmp_path):
    (tmp_path / "x.txt").write_text("no image")
    with pytest.raises(
        ValueError, match=r"has no images \(expected .*/CLASS/image.jpg, or .*/image.jpg without classes"
    ):
        open_folder(tmp_path)
    with pytest.raises(ValueError, match=r"gone is neither"):
        open_folder(tmp_path / "gone")


def test_labels_of_folders(tmp_path):
    (tmp_path / "synsets.txt").write_text("n1 crane, bird\nn2 crane\n\nn3 maillot, tank suit\n")
    assert read_class_names(tmp_path / "synsets.txt") == {"n1": "crane, bird", "n2": "crane", "n3": "maillot"}
    (tmp_path / "names.csv").write_text('n1,"crane, bird"\nn2,crane\n')
    assert read_class_names(tmp_path / "names.csv") == {"n1": "crane, bird", "n2": "crane"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("l.txt", "n1 a\nn2\n", "l.txt, line 2: expected a folder and its class, as in n01440764 tench, .*, got 'n2'"),
        ("l.csv", "n1,a\nn2\n", "l.csv, line 2: expected two columns, folder and class, got 1: 'n2'"),
        ("l.tsv", "n1\ta\nn2\t \n", "l.tsv, line 2 has a class without name"),
        ("l.csv", "cats,a\ndogs,b\n", "l.csv names no class for the folder 'cat'; did you mean 'cats'"),
    ],
)
def test_refuses_labels_that_are_not_there(tmp_path, name, text, message):
    save(tmp_path / "photos" / "cat" / "1.png")
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        open_folder(tmp_path / "photos", labels=tmp_path / name)


@pytest.mark.parametrize("name", ["l.txt", "l.csv"])
def test_labels_that_are_not_utf_8_are_refused(tmp_path, name):
    save(tmp_path / "photos" / "A" / "1.png")
    (tmp_path / name).write_bytes("A,B\u00e4r\n".encode("latin-1"))
    with pytest.raises(ValueError, match=rf"{name}, line 1 is not UTF-8 \(byte 4 of the line\)"):
        open_folder(tmp_path / "photos", labels=tmp_path / name)


def test_a_folder_and_its_line_may_differ_in_unicode_form(tmp_path):
    save(tmp_path / "photos" / "cafe\u0301" / "1.png")
    save(tmp_path / "photos" / "tea" / "1.png")
    (tmp_path / "l.csv").write_text("caf\u00e9,a bar\ntea,tea\n")
    assert open_folder(tmp_path / "photos", labels=tmp_path / "l.csv")[0].label == "a bar"
    assert open_folder(tmp_path / "photos")[0].label == "caf\u00e9"


def test_a_quote_swallows_no_label(tmp_path):
    save(tmp_path / "photos" / "A" / "1.png")
    (tmp_path / "l.csv").write_text('A,"B\u00e4r\nB,Tee\n')
    with pytest.raises(ValueError, match=r"l.csv, line 1: broken quotes"):
        open_folder(tmp_path / "photos", labels=tmp_path / "l.csv")


def test_a_flat_folder_has_images_without_labels(tmp_path):
    for number in range(3):
        save(tmp_path / "photos" / f"{number}.png")
    source = open_folder(tmp_path / "photos")
    assert [(one.key, one.label, one.captions) for one in source] == [(f"{n}.png", None, ()) for n in range(3)]
    assert (
        source[1].open_image().size == open_folder(tmp_path / "photos", wanted=Selection(limit=2))[1].open_image().size
    )
    (tmp_path / "l.csv").write_text("a,b\n")
    with pytest.raises(ValueError, match=r"has no class folders, so .*l.csv names nothing"):
        open_folder(tmp_path / "photos", labels=tmp_path / "l.csv")


@pytest.mark.parametrize("top", ["", "photos/"])
def test_a_zip_file_of_a_flat_folder_is_one(tmp_path, top):
    save(tmp_path / "1.png")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.write(tmp_path / "1.png", f"{top}1.png")
    (sample,) = open_folder(tmp_path / "photos.zip")
    assert (sample.key, sample.label) == ("1.png", None)
    assert sample.open_image().mode == "RGB"
    assert image_path(sample) == f"{tmp_path}/photos.zip/{top}1.png"


def test_a_name_that_is_not_utf_8_is_named(tmp_path):
    save(tmp_path / "photos" / "1.png")
    (tmp_path / "photos" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"x")
    source = open_folder(tmp_path / "photos")
    assert [one.key for one in source] == ["1.png"]
    assert source.skipped[0].detail.endswith(r"caf\udce9.png: its name is not UTF-8; rename the file")


def img2dataset_files(folder, num_texts: int = 3) -> None:
    """Write images as img2dataset does with ``output_format=files``, of which some have a text."""
    for number in range(4):
        image = folder / f"0000{number // 2}" / f"{number:09}.jpg"
        save(image)
        if number < num_texts:
            image.with_suffix(".txt").write_text(f"caption {number}")
            image.with_suffix(".json").write_text('{"status": "success", "width": 3}')
    (folder / "00000_stats.json").write_text("{}")


@pytest.mark.parametrize("zipped", [False, True])
def test_parts_of_a_set_whose_images_have_texts_are_no_classes(tmp_path, zipped):
    img2dataset_files(tmp_path / "set")
    path = tmp_path / "set"
    if zipped:
        path = tmp_path / "set.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in (tmp_path / "set").rglob("*.*"):
                archive.write(file, file.relative_to(tmp_path))
    with pytest.raises(ValueError, match=r"most images have a text of their own beside them \(00000/000000000.txt\)"):
        open_folder(path)
    (tmp_path / "names.csv").write_text("00000,ant\n00001,bee\n")
    assert open_folder(path, labels=tmp_path / "names.csv")[3].label == "bee"


def test_such_a_set_is_read_as_the_error_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    img2dataset_files(tmp_path / "set", num_texts=4)
    with tarfile.open("FILE.tar", "w") as archive:
        archive.add("set", filter=lambda member: None if member.name.endswith("_stats.json") else member)
    source = open_source("shards:FILE.tar")
    assert sorted(source[index].captions for index in range(4)) == [(f"caption {number}",) for number in range(4)]
    assert list(skipped_samples(source)) == []


def test_texts_of_a_few_images_change_no_classes(tmp_path):
    img2dataset_files(tmp_path, num_texts=2)
    assert open_folder(tmp_path)[0].label == "00000"


def test_texts_beside_images_in_no_folder_are_remarked(tmp_path):
    save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("a caption")
    (remark,) = open_folder(tmp_path).remarks
    assert remark.startswith(f"{tmp_path}: most images have a text of their own beside them (a.txt)")


def test_a_table_of_labels_may_have_a_suffix_in_capitals(tmp_path):
    (tmp_path / "NAMES.CSV").write_text("folder,class\n00000,an ant")
    assert read_class_names(tmp_path / "NAMES.CSV") == {"00000": "an ant"}
