import pytest

from builders.predictors import ListSource, photo, photo_source
from sycoca.data.formats.image_files import StoredImage, open_image_files
from sycoca.data.inspection import image_inspection
from sycoca.data.inspection.finding_cache import FindingCache
from sycoca.data.inspection.image_facts import ImageFacts, image_facts
from sycoca.data.inspection.image_inspection import inspect_images
from sycoca.data.samples import ImageTextSample
from sycoca.unusable import SkippedSample


@pytest.fixture
def source(tmp_path):
    names = [f"{number}.png" for number in range(7)]
    for number, name in enumerate(names):
        photo(seed=number).save(tmp_path / name)
    (tmp_path / "3.png").write_bytes(b"")
    (tmp_path / "5.png").unlink()
    files = open_image_files(tmp_path)
    samples = [ImageTextSample(key=name, captions=(), open_image=StoredImage(files, name)) for name in names]
    return ListSource(samples=tuple(samples))


def shown(findings: list[ImageFacts | SkippedSample]) -> list[object]:
    return [finding.reason if isinstance(finding, SkippedSample) else finding for finding in findings]


def test_everything_is_looked_at_in_order(source, monkeypatch):
    monkeypatch.setattr(image_inspection, "_SAMPLES_AT_A_TIME", 2)
    found = shown(list(inspect_images(source, FindingCache(None), range(7))))
    expected: list[object] = [image_facts(photo(seed=number)) for number in range(7)]
    expected[3], expected[5] = "empty file", "missing image"
    assert found == expected
    assert shown(list(inspect_images(source, FindingCache(None), [6, 3]))) == [expected[6], "empty file"]


def test_what_is_known_is_not_opened_again(source, tmp_path, monkeypatch):
    opened = []
    with FindingCache(tmp_path / "i.sqlite") as cache:
        first = list(inspect_images(source, cache, range(7)))
        monkeypatch.setattr(image_inspection, "_look", lambda sample, *_: opened.append(sample.key) or first[5])
        assert list(inspect_images(source, cache, range(7))) == first
        assert opened == ["5.png"]
        photo(seed=99).resize((30, 30)).save(tmp_path / "0.png")
        list(inspect_images(source, cache, range(7)))
    # Threads open them, in any order.
    assert sorted(opened[1:]) == ["0.png", "5.png"]


def test_images_that_lie_in_no_file_are_looked_at_each_time(tmp_path):
    source = photo_source([("a",), ("b",)])
    expected = [image_facts(photo(seed=0)), image_facts(photo(seed=1))]
    with FindingCache(tmp_path / "i.sqlite") as cache:
        for _ in range(2):
            assert list(inspect_images(source, cache, range(2))) == expected
