"""``sycoca data check --weights``: what a model says about pairs, and the map of the images."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from builders.predictors import photo, save_small_weights
from sycoca.cli.main import main
from sycoca.data.formats.image_files import StoredImage
from sycoca.evaluation import data_fit, data_map, fit_records
from sycoca.inference.load import load


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_small_weights(tmp_path_factory.mktemp("model") / "weights"))


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Twelve photos with two captions each, one photo that is cut short."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    lines = []
    for number in range(13):
        photo(60, 50, seed=number).save(tmp_path / f"{number}.png")
        captions = [f"</script> {number}", f"a square {number}"]
        lines.append(json.dumps({"image": f"{number}.png", "captions": captions, "split": "ab"[number % 2]}))
    (tmp_path / "4.png").write_bytes((tmp_path / "4.png").read_bytes()[:300])
    (tmp_path / "photos.jsonl").write_text("\n".join(lines))
    return str(tmp_path / "photos.jsonl")


def test_pairs_and_a_map_are_on_the_page(spec, weights, tmp_path, capsys):
    command = ["data", "check", spec, "--weights", weights, "--device", "cpu", "--batch-size", "5"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 1
    text = capsys.readouterr().out
    headline = re.search(
        r"photos.jsonl: (\d+) of 24 captions \(.* chance 91\.7%\) fit another image as well or better", text
    )
    assert headline is not None
    record = json.loads((tmp_path / "out" / "check.json").read_text())["fit"]["sets"][0]
    assert (record["num_images"], record["num_captions"]) == (12, 24)
    assert record["num_fitting_another"] == int(headline[1])
    assert {pair["index"] for pair in record["least"]} == set(range(13)) - {4}
    html = (tmp_path / "out" / "check.html").read_text()
    points = json.loads(re.findall(r'id="map-points">(.*?)</script>', html)[0])
    assert [point["name"].rpartition("/")[2] for point in points] == [f"{n}.png" for n in range(13) if n != 4]
    assert [point["part"] for point in points] == [n % 2 for n in range(13) if n != 4]
    assert "</i>photos.jsonl (a)</span>" in html
    assert points[0]["caption"] == "</script> 0"
    # Each of the twelve images has a pair among those that fit least.
    assert all("least" in [mark["misfit"] for mark in point["marks"]] for point in points)
    assert "12 among the pairs that fit least</button>" in html
    assert all(0 <= point["x"] <= 1 and point["picture"].startswith("data:image/jpeg") for point in points)
    assert "Pairs that fit least" in html
    assert "http://" not in html


def test_all_images_of_the_pairs_below_are_on_the_map(spec, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(data_fit, "MAP_IMAGES", 8)
    monkeypatch.setattr(fit_records, "NUM_MISFITS", 2)
    command = ["data", "check", spec, "--weights", weights, "--device", "cpu", "--out", str(tmp_path / "out")]
    assert main(command) == 1
    html = (tmp_path / "out" / "check.html").read_text()
    points = json.loads(re.findall(r'id="map-points">(.*?)</script>', html)[0])
    names = [int(point["name"].rpartition("/")[2].removesuffix(".png")) for point in points]
    record = json.loads((tmp_path / "out" / "check.json").read_text())["fit"]["sets"][0]
    least = list(dict.fromkeys(pair["index"] for pair in record["least"]))[:2]
    evenly = {number * 13 // 8 for number in range(8)} - {4}
    assert names == sorted(names)
    assert set(names) >= {*evenly, *least}
    marked = {
        name for name, point in zip(names, points, strict=True) for mark in point["marks"] if mark["misfit"] == "least"
    }
    assert marked == set(least)
    others = [(point, mark) for point in points for mark in point["marks"] if mark["misfit"] == "another"]
    assert len(others) == 2
    assert all(points[mark["other"]] != point for point, mark in others)
    assert all(point["picture"].startswith("data:image/jpeg") for point in points)


def test_cosines_are_those_of_the_model(spec, weights, tmp_path, capsys):
    assert main(["data", "check", spec, "--weights", weights, "--device", "cpu", "--json"]) == 1
    least = json.loads(capsys.readouterr().out)["fit"]["sets"][0]["least"]
    predictor = load(weights, device="cpu")
    images = [tmp_path / f"{pair['index']}.png" for pair in least]
    cosines = predictor.similarity(images, [pair["caption"] for pair in least]).diagonal().tolist()
    assert [pair["cosine"] for pair in least] == pytest.approx(cosines, abs=1e-5)
    assert cosines == sorted(cosines)


@pytest.mark.parametrize("is_known", [False, True])
def test_every_image_is_opened_once(spec, weights, is_known, monkeypatch):
    command = ["data", "check", spec, "--device", "cpu", "--json"]
    if is_known:
        main(command)
    opened: Counter[str] = Counter()
    original = StoredImage.__call__

    def counting(self: StoredImage, smallest_side: int | None = None):
        opened[self.name] += 1
        return original(self, smallest_side)

    monkeypatch.setattr(StoredImage, "__call__", counting)
    main([*command, "--weights", weights])
    assert opened == {f"{number}.png": 1 for number in range(13)}


def test_without_scikit_learn_it_ends_before_any_work_unless_there_is_no_map(
    spec, weights, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(data_map, "find_spec", lambda _: None)
    command = ["data", "check", spec, "--weights", weights, "--device", "cpu", "--out", str(tmp_path / "c.html")]
    assert main(command) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "pip install 'sycoca[probe]', or leave it out: --no-map" in captured.err
    assert not (tmp_path / "c.html").exists()
    assert main([*command, "--no-map"]) == 1  # the broken photo
    html = (tmp_path / "c.html").read_text()
    assert "Map of the images" not in html
    assert "Pairs that fit least" in html
