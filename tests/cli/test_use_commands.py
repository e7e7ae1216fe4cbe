"""The commands that use a model: caption, evaluate, explain."""

import json

import pytest
import torch
from PIL import Image

from builders.predictors import photo, save_small_weights
from sycoca.cli.command_line import run
from sycoca.cli.shared.usage import UsageError
from sycoca.data.spec import open_source
from sycoca.inference.load import load
from sycoca.inference.model_options import ModelOptions

SCENES = "scenes:?split=test&count=5&size=32"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_small_weights(tmp_path_factory.mktemp("model") / "weights"))


@pytest.fixture
def files(tmp_path) -> list[str]:
    names = [str(tmp_path / f"photo-{seed}.png") for seed in range(3)]
    for seed, name in enumerate(names):
        photo(seed=seed).save(name)
    (tmp_path / "notes.txt").write_text("no image")
    return names


def read_lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_captions_go_to_stdout(weights: str, files: list[str], capsys: pytest.CaptureFixture[str]):
    assert run(["caption", weights, *files, "--device", "cpu", "--num-beams", "2"]) == 0
    expected = load(weights, device="cpu").caption(files, num_beams=2)
    printed = capsys.readouterr().out
    assert printed == "".join(f"{name}: {text}\n" for name, text in zip(files, expected, strict=True))


def test_captions_as_json_lines(weights: str, files: list[str], capsys: pytest.CaptureFixture[str]):
    run(["caption", weights, *files[:2], "--json", "--max-tokens", "4"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["image"] for line in lines] == files[:2]
    assert [line["caption"] for line in lines] == load(weights).caption(files[:2], max_tokens=4)
    assert all(line["log_likelihood"] < 0 for line in lines)


def test_a_folder_of_images_is_captioned_in_order(weights: str, files: list[str], tmp_path):
    run(["caption", weights, str(tmp_path), "--out", str(tmp_path / "out.jsonl")])
    assert [line["image"] for line in read_lines(tmp_path / "out.jsonl")] == files


def test_captions_of_a_data_set_can_be_read_as_data(weights: str, tmp_path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "deep" / "captions.jsonl"
    run(["caption", weights, SCENES, "--out", str(out), "--batch-size", "2"])
    source = open_source(SCENES)
    assert [line["image"] for line in read_lines(out)] == [source[index].key for index in range(5)]
    assert len(open_source(str(out))) == 5
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("left", [b"", b'{"image": "half a li'])
def test_goes_on_where_it_stopped(weights: str, tmp_path, left: bytes):
    out, whole = tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    options = [weights, SCENES, "--temperature", "1.0", "--seed", "3"]
    run(["caption", *options, "--out", str(whole)])
    lines = whole.read_bytes().splitlines(keepends=True)
    out.write_bytes(b"".join(lines[:2]) + left)
    run(["caption", *options, "--out", str(out), "--resume"])
    found, expected = read_lines(out), read_lines(whole)
    # Sums in a batch of another size may differ in their last digit.
    likelihoods = [pytest.approx(line.pop("log_likelihood"), abs=1e-3) for line in expected]
    assert [line.pop("log_likelihood") for line in found] == likelihoods
    assert found == expected
    ended = out.read_bytes()
    run(["caption", *options, "--out", str(out), "--resume"])
    assert out.read_bytes() == ended


def test_refuses_to_overwrite_captions_and_to_mix_them(weights: str, files: list[str], tmp_path):
    out = tmp_path / "out.jsonl"
    run(["caption", weights, files[0], "--out", str(out)])
    with pytest.raises(ValueError, match=r"out\.jsonl is there already; --resume continues it, --overwrite replaces"):
        run(["caption", weights, files[0], "--out", str(out)])
    with pytest.raises(ValueError, match=r"line 1 is not about image .*photo-1\.png'; it was written for other data"):
        run(["caption", weights, *files[1:], "--out", str(out), "--resume"])
    with pytest.raises(ValueError, match="give --out too"):
        run(["caption", weights, files[0], "--resume"])
    out.write_text(out.read_text() * 2)
    with pytest.raises(ValueError, match="has 2 lines, but there are only 1 to write"):
        run(["caption", weights, files[0], "--out", str(out), "--resume"])
    out.write_text("no json\n")
    with pytest.raises(ValueError, match=r"out\.jsonl, line 1 is not a JSON object"):
        run(["caption", weights, files[0], "--out", str(out), "--resume"])


def test_refuses_a_data_set_beside_images(weights: str, files: list[str]):
    with pytest.raises(ValueError, match="neither an image file nor a folder of them; a data SPEC must stand alone"):
        run(["caption", weights, files[0], SCENES])
    with pytest.raises(UsageError, match=r"IMAGE\.\.\. is missing"):
        run(["caption", weights])


def test_evaluates_retrieval(weights: str, tmp_path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "report.json"
    run(["evaluate", "retrieval", weights, "--data", SCENES, "--json", "--out", str(out), "--captions-per-image", "2"])
    printed = json.loads(capsys.readouterr().out)
    assert printed == {name: part for name, part in json.loads(out.read_text()).items() if name != "items"}
    assert printed["task"] == "retrieval"
    assert printed["counts"] == {"images": 5, "captions": 10, "truncated_captions": 0, "left_out_captions": 0}


def test_shows_a_table_unless_it_writes_a_file(weights: str, tmp_path, capsys: pytest.CaptureFixture[str]):
    run(["evaluate", "grounding", weights, "--data", SCENES, "--limit", "3"])
    assert "mask_coverage" in capsys.readouterr().out
    run(["evaluate", "grounding", weights, "--data", SCENES, "--out", str(tmp_path / "report.json")])
    assert capsys.readouterr().out == ""


def test_evaluates_scene_captions(weights: str, capsys: pytest.CaptureFixture[str]):
    run(["evaluate", "scene-captions", weights, "--data", SCENES, "--json", "--num-beams", "2", "--max-tokens", "5"])
    report = json.loads(capsys.readouterr().out)
    assert report["settings"]["num_beams"] == 2
    assert set(report["metrics"]) > {"caption_truth", "caption_detail", "caption_parsed", "bleu_4", "cider"}


def test_scene_captions_need_scenes(weights: str, tmp_path):
    (tmp_path / "class").mkdir()
    photo().save(tmp_path / "class" / "photo.png")
    with pytest.raises(ValueError, match="is not made of scenes"):
        run(["evaluate", "scene-captions", weights, "--data", str(tmp_path)])


def test_explains_with_a_picture(weights: str, files: list[str], tmp_path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "explained.png"
    assert run(["explain", weights, files[0], "a red circle", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    with Image.open(out) as picture:
        assert picture.width > 1000
    with pytest.raises(ValueError, match=r"must end with \.png, \.pdf, \.svg or \.json"):
        run(["explain", weights, files[0], "a red circle", "--out", "explained"])


def test_explains_the_own_caption_beside_others_as_json(weights: str, files: list[str], tmp_path):
    out = tmp_path / "explained.json"
    words = ["explain", weights, files[0], "--out", str(out), "--other-captions", "a dog", "a red cat"]
    assert run([*words, "--edited-caption", "a ring"]) == 0
    plain = json.loads(out.read_text(encoding="utf-8"))
    assert plain["caption"] == load(weights).caption([files[0]])[0] == plain["generated"]["caption"]
    assert [other["caption"] for other in plain["other_captions"]] == ["a dog", "a red cat"]
    assert [other["caption"] for other in plain["other_reconstructions"]] == ["", "a ring"]


def test_refuses_batches_of_nothing():
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        ModelOptions(batch_size=0)


def test_precision_sets_the_type_of_the_weights(weights: str):
    model = ModelOptions(device="cpu", precision="bf16").load(weights).model
    assert model.log_logit_scale.dtype == torch.bfloat16


def test_retrieval_leaves_out_what_it_is_allowed_to_and_counts_it(weights: str, files: list[str], tmp_path, capsys):
    rows = [{"image": name, "caption": f"picture {i}"} for i, name in enumerate([*files, "lost.png"])]
    captions = tmp_path / "captions.jsonl"
    captions.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    command = ["retrieval", weights, "--data", str(captions), "--json"]
    with pytest.raises(ValueError, match=r"lost\.png .* no such file"):
        run(["evaluate", *command])
    assert run(["evaluate", *command, "--max-skipped-ratio", "0.25"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["counts"]["images"], report["metrics"]["skipped_samples"]) == (3, 1)
    assert run(["evaluate", *command, "--max-skipped-ratio", "0.25", "--limit", "2"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["counts"]["images"], report["metrics"]["skipped_samples"]) == (2, 0)
    with pytest.raises(ValueError, match=r"1 of 4 samples cannot be used, more than max_skipped_ratio 0\.1"):
        run(["evaluate", *command, "--max-skipped-ratio", "0.1"])
