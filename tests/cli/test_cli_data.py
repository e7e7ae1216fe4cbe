import json
import subprocess
import sys

import numpy as np
import pytest

from builders.predictors import photo
from sycoca.cli.command_line import run
from sycoca.cli.main import main
from sycoca.data.formats.jsonl import open_jsonl
from sycoca.data.scenes.source import ScenesSource
from sycoca.preprocess.config import TokenizerConfig
from sycoca.preprocess.tokenizer import Tokenizer


@pytest.fixture(autouse=True)
def _own_caches(tmp_path, monkeypatch):
    """Keep the tests' images out of the index of whoever runs them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))


def test_written_scenes_are_read_back(tmp_path, capsys):
    options = ["--level", "medium", "--count", "6", "--seed", "3", "--split", "test", "--size", "32"]
    assert run(["data", "write-scenes", str(tmp_path / "out"), *options, "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert written == {"captions": str(tmp_path / "out" / "captions.jsonl"), "num_images": 6}
    scenes = ScenesSource(level="medium", count=6, seed=3, split="test", size=32)
    source = open_jsonl(tmp_path / "out" / "captions.jsonl")
    assert len(source) == 6
    for index in range(6):
        expected, sample = scenes[index], source[index]
        assert (sample.captions, sample.label, sample.questions) == (
            expected.captions,
            expected.label,
            expected.questions,
        )
        assert np.array_equal(np.asarray(sample.open_image()), np.asarray(expected.open_image()))


def test_never_mixes_two_data_sets(tmp_path, capsys):
    assert run(["data", "write-scenes", str(tmp_path), "--count", "2"]) == 0
    assert f"wrote 2 scenes; use them as {tmp_path / 'captions.jsonl'}" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"captions.jsonl is there already; --overwrite replaces it, or choose"):
        run(["data", "write-scenes", str(tmp_path), "--count", "3"])


def test_statistics_as_json(capsys):
    options = ["--json", "--images", "3", "--context-length", "9"]
    assert run(["data", "stats", "scenes:?level=easy&count=20", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["source"] == "scenes-easy-train"
    assert (found["num_samples"], found["num_captions"], found["images"]["num_opened"]) == (20, 80, 3)
    assert found["images"]["widths"]["most"] == 64
    assert 0 < found["num_truncated"] < 80


def test_statistics_as_tables(capsys):
    assert run(["data", "stats", "scenes:?count=12"]) == 0
    text = capsys.readouterr().out
    for piece in ("scenes-easy-train", "captions over 76 tokens", "words per caption", "12 opened"):
        assert piece in text


def test_statistics_with_a_tokenizer_at_hand(tmp_path, capsys):
    Tokenizer.train(["zzz"], TokenizerConfig(vocab_size=259)).save(tmp_path / "bytes.json")
    lengths = []
    for extra in ([], ["--tokenizer", str(tmp_path / "bytes.json")]):
        assert run(["data", "stats", "scenes:?count=12", "--json", *extra]) == 0
        lengths.append(json.loads(capsys.readouterr().out)["tokens_per_caption"]["mean"])
    assert lengths[1] > 3 * lengths[0]


def test_unreadable_images_are_listed_and_give_exit_code_1(tmp_path, capsys):
    (tmp_path / "x.jsonl").write_text('{"image": "[gone].png", "caption": "x"}')
    assert run(["data", "stats", str(tmp_path / "x.jsonl")]) == 1
    assert "[gone].png" in capsys.readouterr().out.replace("\n", "")


@pytest.mark.parametrize(
    "arguments",
    [[], ["stats"], ["check", "x", "--images", "some"], ["stat", "scenes:"], ["write-scenes", "x", "--level", "odd"]],
)
def test_wrong_usage_gives_exit_code_2(arguments, capsys):
    assert main(["data", *arguments]) == 2
    assert capsys.readouterr().out == ""


def test_help_says_what_every_option_means(capsys):
    assert main(["data", "write-scenes", "--help"]) == 0
    text = capsys.readouterr().out
    assert "Height and width in pixels." in text
    assert "sycoca data write-scenes" in text


def test_looking_at_data_does_not_load_pytorch():
    code = "import sys; import sycoca.cli.data.stats, sycoca.cli.data.check; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_stats_say_what_is_left_out(tmp_path, capsys):
    photo(20, 20).save(tmp_path / "a.png")
    table = tmp_path / "photos.csv"
    table.write_text("image,caption\na.png,a dog\na.png,\n", encoding="utf-8")
    assert run(["data", "stats", str(table), "--no-index"]) == 0
    assert "left out: 1 no caption; sycoca data check names them" in capsys.readouterr().out
    assert run(["data", "stats", str(table), "--no-index", "--json"]) == 0
    assert [skipped["reason"] for skipped in json.loads(capsys.readouterr().out)["skipped"]] == ["no caption"]
