import json
from pathlib import Path

import pytest

from builders.predictors import photo
from sycoca.cli.command_line import run
from sycoca.cli.main import main
from sycoca.cli.shared.usage import UsageError


@pytest.fixture(autouse=True)
def _own_caches(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))


@pytest.fixture
def photos(tmp_path):
    """Four photos, one of them in two splits, and a listed one that is cut short."""
    lines = []
    for number, split in enumerate(["train", "train", "test", "test", "broken"]):
        photo(60, 50, seed=1 if number == 3 else number).save(tmp_path / f"{number}.png")
        lines.append(json.dumps({"image": f"{number}.png", "caption": f"photo number {number}", "split": split}))
    (tmp_path / "4.png").write_bytes((tmp_path / "4.png").read_bytes()[:300])
    (tmp_path / "photos.jsonl").write_text("\n".join(lines))
    return f"{tmp_path}/photos.jsonl"


def test_sets_that_share_a_photo_fail_the_check(photos, tmp_path, capsys):
    sets = [f"{photos}?split=train", f"{photos}?split=test"]
    assert run(["data", "check", *sets, "--out", str(tmp_path / "report")]) == 1
    text = capsys.readouterr().out
    assert "photos.jsonl (train) and photos.jsonl (test) share 1 photo" in text
    folder = Path(photos).parent
    assert f"exact duplicates: {folder}/1.png (photos.jsonl (train)), {folder}/3.png (photos.jsonl (test))" in text
    assert "share 1 photo" in (tmp_path / "report" / "check.html").read_text()
    record = json.loads((tmp_path / "report" / "check.json").read_text())
    assert [(group["match_kind"], group["likeness"]) for group in record["duplicates"]] == [("exact", "exact")]
    assert record["is_clean"] is False
    assert [place["key"] for place in record["duplicates"][0]["places"]] == ["1.png", "3.png"]


def test_broken_files_fail_the_check_and_are_named(photos, capsys):
    assert run(["data", "check", f"{photos}?split=broken"]) == 1
    text = capsys.readouterr().out
    assert "photos.jsonl (broken) has 1 unusable item: 1 broken image" in text
    assert "4.png cannot be read as an image" in text


def test_a_clean_set_passes_and_is_remembered(photos, tmp_path, capsys):
    assert main(["data", "check", f"{photos}?split=train", "--out", str(tmp_path / "page.html"), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["sets"][0]["images"]["num_readable"] == 2
    assert captured.err == f"page in {tmp_path / 'page.html'}\n"
    assert (tmp_path / "caches" / "sycoca" / "images.sqlite").is_file()


def test_a_cache_that_cannot_be_used_is_said_and_the_check_goes_on(photos, tmp_path, capsys):
    (tmp_path / "bad.sqlite").mkdir()
    assert main(["data", "check", f"{photos}?split=train", "--cache", str(tmp_path / "bad.sqlite")]) == 0
    assert "bad.sqlite: unable to open database file; continuing without it" in capsys.readouterr().err


def test_without_a_cache_nothing_is_written(photos, tmp_path, capsys):
    assert run(["data", "check", f"{photos}?split=train", "--no-cache", "--images", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sets"][0]["images"]["num_readable"] == 1
    assert not (tmp_path / "caches").exists()


def test_wrong_numbers_are_refused(photos):
    with pytest.raises(ValueError, match="number of images to open must be at least 0, got -1"):
        run(["data", "check", photos, "--images", "-1"])
    with pytest.raises(UsageError, match=r"SPEC\.\.\. is missing"):
        run(["data", "check"])


def test_help_says_what_the_exit_code_means(capsys):
    assert main(["data", "check", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Exit code 1 if something is broken or two parts share an image" in said


def test_sets_without_captions_are_checked_as_well(tmp_path, capsys):
    photo().save(tmp_path / "1.png")
    (tmp_path / "q.jsonl").write_text('{"image": "1.png", "question": "who?", "answer": "a cat"}')
    assert run(["data", "check", f"{tmp_path}/q.jsonl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sets"][0]["captions"]["num_captions"] == 0
    assert run(["data", "stats", f"{tmp_path}/q.jsonl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["words_per_caption"] is None


def test_photos_worth_a_look_are_listed_by_thresholds_that_may_be_set(tmp_path, capsys):
    photo(60, 50).save(tmp_path / "a.png")
    photo(60, 50, seed=1).point([level // 8 for level in range(256)] * 3).save(tmp_path / "b.png")
    (tmp_path / "p.csv").write_text("image,caption\na.png,a photo\nb.png,a dark one\n")
    settings = ["--blurred", "0", "--dark", "60", "--low-information", "0"]
    assert main(["data", "check", str(tmp_path / "p.csv"), *settings, "--no-cache"]) == 0
    text = capsys.readouterr().out
    assert "odd  p.csv: 1 photo worth a look (50.00%): 1 dark" in text
    assert f"  dark: {tmp_path}/b.png (" in text
    settings[3] = "1"
    assert main(["data", "check", str(tmp_path / "p.csv"), *settings, "--no-cache", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["sets"][0]["photos"], record["thresholds"]["dark"]) == ([], 1.0)
    assert main(["data", "check", str(tmp_path / "p.csv"), "--near-bits", "9"]) == 2
    assert "near_bits must lie between 0 and 8, got 9" in capsys.readouterr().err


def test_near_duplicates_are_found_by_thresholds_that_may_be_set(tmp_path, capsys):
    photo(60, 50).save(tmp_path / "a.png")
    photo(60, 50).point([min(255, level + 8) for level in range(256)] * 3).save(tmp_path / "b.png")
    (tmp_path / "p.csv").write_text("image,caption\na.png,a photo\nb.png,a brighter one\n")
    for settings, number in (([], 1), (["--near-colors", "4"], 0)):
        assert main(["data", "check", str(tmp_path / "p.csv"), *settings, "--no-cache", "--json"]) == 0
        record = json.loads(capsys.readouterr().out)
        assert [group["match_kind"] for group in record["duplicates"]] == ["near"] * number
        assert record["sets"][0]["photo_medians"]["odd_aspect"] == 1.2
