import gzip
import json
from pathlib import Path

import pytest

from builders.predictors import photo_source
from sycoca.data.writing.caption_results import (
    captions_by_reference,
    image_id,
    read_caption_results,
    read_coco_references,
    source_references,
    write_caption_results,
)

REFERENCES = {"a.jpg": ("a dog",), "COCO_val2014_000000000042.jpg": ("a cat", "one cat")}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("COCO_val2014_000000000042.jpg", 42),
        ("val2017/000000397133.jpg", 397133),
        ("000000397133.jpg", 397133),
        ("photo.jpg", "photo.jpg"),
        ("12.jpg", "12.jpg"),
        ("x000000397133.jpg", "x000000397133.jpg"),
    ],
)
def test_ids_are_those_of_coco_where_there_are_any(name: str, expected: int | str):
    assert image_id(name) == expected


def test_written_results_are_read_back(tmp_path: Path):
    path = tmp_path / "new" / "results.json"
    write_caption_results(path, list(REFERENCES), ["ein „Hund“", "a cat"])
    assert json.loads(path.read_text(encoding="utf-8"))[1] == {"image_id": 42, "caption": "a cat"}
    found = captions_by_reference(read_caption_results(path), REFERENCES)
    assert found == {"a.jpg": "ein „Hund“", "COCO_val2014_000000000042.jpg": "a cat"}


def test_lines_of_sycoca_caption_are_read(tmp_path: Path):
    path = tmp_path / "captions.jsonl"
    path.write_text('{"image": "a.jpg", "caption": "x", "log_likelihood": -1}\n\n{"image": "b.jpg", "caption": ""}\n')
    assert read_caption_results(path) == {"a.jpg": "x", "b.jpg": ""}
    path.write_text('{"image": "a.jpg", "caption": "x"}\n')
    assert read_caption_results(path) == {"a.jpg": "x"}


def test_objects_of_captions_by_image_are_read_as_clipscore_and_pycocoevalcap_have_them(tmp_path: Path):
    candidates, references = tmp_path / "candidates.json", tmp_path / "references.json"
    candidates.write_text('{"a": "x", "b": ["y"], "7": [{"caption": "z"}]}')
    assert read_caption_results(candidates) == {"a": "x", "b": "y", "7": "z"}
    references.write_text('{"a": ["x", "y"], "b": [{"image_id": "b", "caption": "z"}]}')
    assert read_coco_references(references) == {"a": ("x", "y"), "b": ("z",)}
    with pytest.raises(ValueError, match="image a has another caption already"):
        read_caption_results(references)
    for text in ('{"a": []}', '{"a": 3}', '{"a": ["x", {"text": "y"}]}'):
        references.write_text(text)
        with pytest.raises(ValueError, match=r"references\.json, image a: expected captions, a text or a list"):
            read_coco_references(references)


def test_whole_numbers_written_as_tables_do_are_ids(tmp_path: Path):
    path = tmp_path / "captions.json"
    path.write_text('[{"image_id": 42.0, "caption": "x"}]')
    assert read_caption_results(path) == {"42": "x"}
    path.write_text('{"annotations": [{"image_id": 42.0, "caption": "x"}]}')
    assert read_coco_references(path) == {"42": ("x",)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "holds no captions"),
        ("", "holds no captions"),
        ("image,caption", "is neither JSON nor lines of it"),
        ('[{"image_id": 1}]', 'caption 1: expected {"image_id": id, "caption": text}'),
        ('[{"image_id": true, "caption": "x"}]', "caption 1: expected"),
        ('[{"image_id": 1, "caption": "x"}, {"image_id": "1", "caption": "y"}]', "caption 2: image 1 has another"),
        ('{"image": "a"}\n{"image": "b"}', "caption 1: expected"),
        ('{"image": 3}', "image image: expected captions"),
    ],
)
def test_a_bad_result_file_is_one_clear_line(tmp_path: Path, text: str, message: str):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_caption_results(path)


def test_unknown_and_missing_images_are_errors():
    with pytest.raises(ValueError, match=r"for image b\.jpg, which has no references; did you mean a\.jpg\?"):
        captions_by_reference({"b.jpg": "x", "42": "y"}, REFERENCES)
    with pytest.raises(ValueError, match=r"and so are 1 others"):
        captions_by_reference({"7": "x", "8": "x"}, REFERENCES)
    with pytest.raises(ValueError, match=r"1 of 2 images with references have no caption, such as a\.jpg"):
        captions_by_reference({"42": "y"}, REFERENCES)
    with pytest.raises(ValueError, match="has two captions"):
        captions_by_reference({"42": "y", "COCO_val2014_000000000042.jpg": "z"}, REFERENCES)


def test_images_without_caption_may_be_left_out_on_demand():
    assert captions_by_reference({"42": "y"}, REFERENCES, only_predicted=True) == {"COCO_val2014_000000000042.jpg": "y"}


def test_coco_annotations_are_references(tmp_path: Path):
    path = tmp_path / "captions.json.gz"
    annotations = [{"image_id": 2, "caption": "a"}, {"image_id": 1, "caption": "b"}, {"image_id": 2, "caption": "c"}]
    path.write_bytes(gzip.compress(json.dumps({"annotations": annotations}).encode()))
    assert read_coco_references(path) == {"2": ("a", "c"), "1": ("b",)}


@pytest.mark.parametrize(
    ("annotations", "message"),
    [([], "holds no captions"), ([{"image_id": 1}], "annotation 1: expected"), ([7], "annotation 1: expected")],
)
def test_bad_annotations_are_one_clear_line(tmp_path: Path, annotations: list[object], message: str):
    path = tmp_path / "captions.json"
    path.write_text(json.dumps({"annotations": annotations}))
    with pytest.raises(ValueError, match=message):
        read_coco_references(path)


def test_samples_without_caption_are_named():
    source = photo_source([("a dog",), ()])
    assert source_references(source, 1) == {"photo-0": ("a dog",)}
    with pytest.raises(ValueError, match="photo-1 has no caption to compare with"):
        source_references(source, 2)
