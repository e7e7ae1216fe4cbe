import json

import pytest

from sycoca.data.formats.coco import open_coco, open_karpathy
from sycoca.data.selection import Selection


def write(path, data):
    path.write_text(json.dumps(data))
    return path


def test_what_is_wrong_with_an_annotation_or_image_is_named(tmp_path):
    images = [{"id": n, "file_name": f"{n}.jpg"} for n in range(4)]
    annotations = [
        {"id": 10, "image_id": 1, "caption": "one"},
        {"id": 11, "image_id": 1, "caption": " "},
        {"id": 12, "image_id": 2, "caption": 5},
        {"id": 13, "image_id": 77, "caption": "whose?"},
        {"id": 14, "image_id": 3},
        "no annotation",
    ]
    path = write(tmp_path / "c.json", {"images": [*images, {"id": 9}, {}, 7], "annotations": annotations})
    source = open_coco(path)
    assert [(source[index].key, source[index].captions) for index in range(len(source))] == [("1.jpg", ("one",))]
    assert {(entry.name, entry.reason) for entry in source.skipped} == {
        ("0.jpg, image 1", "no caption"),
        ("1.jpg, annotation 11", "empty caption"),
        ("2.jpg, annotation 12", "caption is no text"),
        ("3.jpg, annotation 14", "no caption"),
        (f"{path}, image 5", "no image name"),
        (f"{path}, image 6", "malformed row"),
        (f"{path}, image 7", "malformed row"),
        (f"{path}, annotation 4", "malformed row"),
        (f"{path}, annotation 6", "malformed row"),
    }
    assert len(source.skipped) == 9
    details = [entry.detail for entry in source.skipped]
    assert f'{path}, annotation 4: its "image_id" is not among the images' in details


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "c.json must hold a JSON object, got list"),
        ("{", "c.json is no JSON file: Expecting property name"),
        ("[" * 100_000, "c.json is no JSON file: "),
        ('{"images": [], "info": 1}', r'c.json has no list "annotations" \(it has images, info\)'),
        ('{"annotations": []}', r'c.json has no list "images" \(it has annotations\)'),
        (f'{{"a\\nb{"9" * 5000}": 1}}', r'c.json has no list "annotations" \(it has a b9{197}\.\.\.9{80}\)$'),
        ('{"images": [], "annotations": []}', "c.json has no images"),
    ],
)
def test_refuses_what_is_no_caption_file(tmp_path, text, message):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        open_coco(tmp_path / "c.json")


def karpathy_file(tmp_path):
    splits = ["train", "restval", "val", "test"]
    images = [{"filename": f"{s}.jpg", "split": s, "sentences": [{"raw": f"of {s}", "tokens": []}]} for s in splits]
    return write(tmp_path / "k.json", {"images": images})


def test_restval_is_trained_on_unless_it_is_wanted_apart(tmp_path):
    path = karpathy_file(tmp_path)
    train = open_karpathy(path, wanted=Selection(split="train"))
    assert [train[index].captions for index in range(len(train))] == [("of train",), ("of restval",)]
    assert len(open_karpathy(path, restval="separate", wanted=Selection(split="train"))) == 1
    assert open_karpathy(path, restval="separate", wanted=Selection(split="restval"))[0].key == "restval.jpg"
    with pytest.raises(ValueError, match="split must be one of test, train, val, got 'restval'"):
        open_karpathy(path, wanted=Selection(split="restval"))


def test_what_is_wrong_with_an_image_of_karpathy_is_named(tmp_path):
    images = [
        {"filepath": "d", "filename": "a.jpg", "sentences": [{"raw": "x"}, {}, "plain", {"raw": ""}]},
        {"filename": "b.jpg", "sentences": []},
        {"filename": "c.jpg"},
        "d.jpg",
        {"filepath": "d", "sentences": [{"raw": "x"}]},
    ]
    path = write(tmp_path / "k.json", {"images": images})
    source = open_karpathy(path)
    assert [(source[index].key, source[index].captions) for index in range(len(source))] == [
        ("d/a.jpg", ("x", "plain"))
    ]
    assert [(entry.name, entry.reason) for entry in source.skipped] == [
        ("d/a.jpg, image 1", "no caption"),
        ("d/a.jpg, image 1", "empty caption"),
        ("b.jpg, image 2", "no caption"),
        (f"{path}, image 3", "malformed row"),
        (f"{path}, image 4", "malformed row"),
        (f"{path}, image 5", "no image name"),
    ]


def test_captions_of_an_id_that_two_images_have_are_nobodys(tmp_path):
    images = [(1, "0.jpg"), (1, "1.jpg"), (2, "2.jpg"), (3, "3.jpg"), (3, "3.jpg")]
    annotations = [(1, "a red thing"), (1, "a blue thing"), (2, "a green thing"), (3, "a gray thing")]
    path = write(
        tmp_path / "c.json",
        {
            "images": [{"id": key, "file_name": name} for key, name in images],
            "annotations": [{"id": n, "image_id": key, "caption": text} for n, (key, text) in enumerate(annotations)],
        },
    )
    source = open_coco(path)
    assert [(one.key, one.captions) for one in source] == [("2.jpg", ("a green thing",)), ("3.jpg", ("a gray thing",))]
    assert [one.name for one in source.skipped] == [f"{path}, image 1", f"{path}, image 2"]
    assert source.skipped[0].detail.endswith(
        'the "id" 1 stands twice (images 1 and 2), so nobody knows which of them the 2 captions of it belong to; give'
        " each image an id of its own"
    )


def test_ids_of_another_type_are_named(tmp_path):
    images, annotations = [{"id": "1", "file_name": "0.jpg"}], [{"id": 1, "image_id": 1, "caption": "red"}]
    path = write(tmp_path / "c.json", {"images": images, "annotations": annotations})
    expected = r"""its "id" is the text '1', the "image_id" of 1 captions is the number 1; write them alike"""
    with pytest.raises(ValueError, match=expected):
        open_coco(path)


def test_no_option_is_offered_that_the_format_does_not_have(tmp_path):
    images = [{"id": 1, "file_name": "0.jpg"}, {"id": 2, "file_name": "1.jpg"}]
    annotations = [{"id": 1, "image_id": 1, "caption": "red"}]
    (skipped,) = open_coco(write(tmp_path / "c.json", {"images": images, "annotations": annotations})).skipped
    assert skipped.detail.endswith('no "caption" or "captions"; write one')


def test_ids_that_a_table_has_made_floats_are_whole_numbers(tmp_path):
    images = [{"id": 1, "file_name": "1.jpg"}, {"id": 2.0, "file_name": "2.jpg"}, {"id": 2.5, "file_name": "3.jpg"}]
    annotations = [{"image_id": 1.0, "caption": "one"}, {"image_id": 2, "caption": "two"}]
    source = open_coco(write(tmp_path / "c.json", {"images": images, "annotations": annotations}))
    assert [source[index].captions for index in range(len(source))] == [("one",), ("two",)]
    assert [entry.reason for entry in source.skipped] == ["malformed row"]
