"""``sycoca index`` and ``sycoca search``."""

import json
import re
import sys
from pathlib import Path

import pytest

from builders.predictors import photo, save_small_weights
from sycoca.cli.main import main
from sycoca.cli.use.index import recall_line
from sycoca.search.index_facts import RecallFacts


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_small_weights(Path("weights"))
    Path("photos").mkdir()
    for number in range(3):
        photo(seed=number).save(f"photos/[b]{number}.png")
    Path("there.html").touch()


@pytest.mark.usefixtures("photos")
def test_photos_are_indexed_and_found(capsys: pytest.CaptureFixture[str]):
    index = ["index", "weights", "photos", "--out", "photos.lance", "--device", "cpu"]
    assert main(index) == 0
    said = capsys.readouterr()
    assert said.out == "photos.lance\n"
    assert "3 images embedded, " in said.err
    Path("photos/[b]0.png").rename("photos/new.png")
    Path("photos/[b]1.png").unlink()
    assert main([*index, "--json"]) == 0
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert [result[name] for name in ("images", "embedded", "copied", "removed", "recall")] == [2, 0, 1, 2, None]
    assert "1 of 2 images are unchanged\n" in said.err
    assert "1 image renamed, copied, touched, or with another caption, label or split: not embedded again\n" in said.err
    assert "2 rows removed: files that are gone or have another name\n" in said.err

    search = ["search", "photos.lance", "--device", "cpu"]
    assert main([*search, "--image", "photos/[b]2.png", "-k", "1"]) == 0
    said = capsys.readouterr()
    assert "1.000   photos/[b]2.png" in said.out
    assert "caption" not in said.out
    assert re.search(
        r"^2 images compared one by one, \d+ ms; median cosine of the index 0\.\d{3}$", said.err, re.MULTILINE
    )
    assert main([*search, "a red circle", "--json", "--where", "key = 'new.png'", "--html", "out.html"]) == 0
    said = capsys.readouterr()
    plain = json.loads(said.out)
    assert [hit["file"] for hit in plain["hits"]] == ["photos/new.png"]
    assert (plain["query"], plain["where"], plain["matching"], plain["images"]) == (
        "a red circle",
        "key = 'new.png'",
        1,
        2,
    )
    assert "contact sheet in out.html\n1 of 2 images compared one by one, " in said.err
    page = Path("out.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 1
    assert "photos/new.png" in page


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["search", "photos.lance", "a dog"], 1, "there is no image index 'photos.lance'; sycoca index makes one"),
        (["search", "photos.lance"], 2, 'give one query: a text, such as "two dogs in snow", or --image FILE'),
        (["search", "photos.lance", "a dog", "--image", "a.png"], 2, "give one query"),
        (["search", "photos.lance", "a dog", "-k", "0"], 2, "--count must be at least 1, got 0"),
        (["search", "photos.lance", "a dog", "--html", "out.txt"], 2, "out.txt must end with .html"),
        (["search", "photos.lance", "a dog", "--html", "there.html"], 2, "is there already; --overwrite replaces it"),
        (["index", "weights", "nothing", "--out", "photos.lance"], 1, "'nothing' is no data source"),
        (["index", "weights", "photos", "--out", "photos"], 2, "photos is there already and is not a sycoca index"),
    ],
)
def test_what_is_wrong_is_one_line(words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]):
    assert main(words) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not Path("photos.lance").exists()


@pytest.mark.usefixtures("photos")
def test_both_commands_name_the_extra_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "lancedb", None)
    for words in (["index", "weights", "photos", "--out", "photos.lance"], ["search", "photos.lance", "a dog"]):
        assert main(words) == 1
        expected = f"sycoca {words[0]}: an image index needs lancedb: pip install 'sycoca[search]'\n"
        assert capsys.readouterr().err == expected


def test_recall_stands_beside_the_exact_search():
    recall = RecallFacts(
        num_images=60_000,
        num_probes=16,
        num_clusters=244,
        image_recall=0.981,
        text_recall=0.964,
        text_kind="captions",
        num_queries=64,
        exact_seconds=0.05,
        approximate_seconds=0.004,
    )
    assert recall_line(recall) == (
        "approximate search: recall@10 0.981 by images, 0.964 by captions (64 queries each), 0.066 of as many images at"
        " random; 16 of 244 clusters, 4.0 ms against 50.0 ms exactly"
    )
