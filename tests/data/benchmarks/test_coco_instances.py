import copy
from pathlib import Path

import pytest

from builders.twelve_pictures import write_json
from sycoca.data.benchmarks.coco_instances import read_instances

ALLOWED = ("dog", "cat", "hot dog")

INSTANCES = {
    "images": [{"id": 7, "file_name": "COCO_val2014_000000000007.jpg"}, {"id": 8, "file_name": "rot.png"}],
    "annotations": [
        {"image_id": 7, "category_id": 18},
        {"image_id": 7, "category_id": 18},
        {"image_id": 7, "category_id": 17},
    ],
    "categories": [{"id": 18, "name": "dog"}, {"id": 17, "name": "cat"}],
}


def test_objects_are_found_by_id_and_by_name(tmp_path: Path):
    objects = read_instances(write_json(tmp_path / "instances.json", INSTANCES), ALLOWED)
    for name in ("7", "val2014/COCO_val2014_000000000007.jpg", "COCO_val2014_000000000007.jpg"):
        assert objects.of(name) == {"dog", "cat"}
    assert objects.of("rot.png") == objects.of("8") == set()
    with pytest.raises(ValueError, match=r"instances.json lists no image 9, so nobody knows"):
        objects.of("9")


@pytest.mark.parametrize(
    ("part", "entry", "fault"),
    [
        ("images", {"file_name": "x.jpg"}, 'instances.json, image 3: expected {"id": number, "file_name": name}'),
        ("images", {"id": 7, "file_name": "other.jpg"}, 'the "id" 7 stands twice'),
        ("annotations", {"image_id": 99, "category_id": 18}, 'annotation 4: its "image_id" is no image'),
        ("annotations", {"image_id": 7, "category_id": 1}, 'annotation 4: its "category_id" is not among'),
        ("annotations", 3, 'annotation 4: its "image_id" is no image, got 3'),
        ("categories", {"id": 1}, 'category 3: expected {"id": number, "name": text}'),
        ("categories", {"id": 1, "name": "dgo"}, "category 3: 'dgo' is none of COCO's 80; did you mean 'dog'"),
    ],
)
def test_faults_name_file_and_entry(tmp_path: Path, part: str, entry: object, fault: str):
    broken: dict = copy.deepcopy(INSTANCES)
    broken[part].append(entry)
    with pytest.raises(ValueError, match=fault):
        read_instances(write_json(tmp_path / "instances.json", broken), ALLOWED)
