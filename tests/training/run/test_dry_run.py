from pathlib import Path

import pytest
from PIL import Image

from sycoca.training.config import RuntimeConfig
from sycoca.training.engine.update import Updater
from sycoca.training.run import dry_run as module
from sycoca.training.run.dry_run import dry_run


def test_says_what_a_run_would_take(make_run_config):
    config = make_run_config()
    report = dry_run(config)
    parts = ("image_encoder", "text_encoder", "text_decoder", "image_decoder")
    # The temperature belongs to no component.
    assert report.parameters["all"] == sum(report.parameters[part] for part in parts) + 1
    # By hand: self-attention 4 w^2 + 4 w, MLP 8 w^2 + 5 w, two norms 4 w, for each of two blocks, and so on.
    width, pixels, patches, embed = 16, 48, 16, 8
    blocks = 2 * (12 * width**2 + 13 * width)
    ends = (patches + 1) * width + width + pixels * width + 4 * width + width * embed
    assert report.parameters["image_encoder"] == blocks + ends
    assert report.estimated_bytes == 16 * report.parameters["all"]
    assert report.peak_bytes is None or 50 * 2**20 < report.peak_bytes < report.device_bytes
    assert report.micro_batch_size == 4
    assert any("at the peak with 4 pairs per forward pass" in line for line in report.lines())
    assert report.speed.num_steps == 3
    assert report.speed.images_per_second > 0
    assert report.hours == pytest.approx(16 / report.speed.images_per_second / 3600)


def test_counts_captions_that_are_cut(make_run_config, tmp_path: Path):
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    lines = ['{"image": "a.png", "captions": ["word", "%s"]}\n' % ("long " * 40)] * 4
    (tmp_path / "captions.jsonl").write_text("".join(lines), encoding="utf-8")
    config = make_run_config()
    config = make_run_config(data=type(config.data)(train=str(tmp_path / "captions.jsonl")))
    assert dry_run(config).truncation.ratio == 0.5


def test_where_a_step_takes_long_only_one_is_taken(make_run_config, monkeypatch: pytest.MonkeyPatch):
    sizes: list[int] = []
    update = Updater.update

    def count(self: Updater, micro_batches, lr: float):
        sizes.append(sum(len(batch.images) for batch in micro_batches))
        return update(self, micro_batches, lr)

    monkeypatch.setattr(Updater, "update", count)
    monkeypatch.setattr(module, "_MAX_SECONDS", 1e-9)
    report = dry_run(make_run_config())
    assert sizes == [2, 4]
    assert report.speed.num_steps == 1
    assert "measured over 1 step after an update on 2 pairs" in "\n".join(report.lines())


def captions_file(folder: Path, captions: list[str]) -> str:
    for number in range(len(captions)):
        Image.new("RGB", (16, 16)).save(folder / f"{number}.png")
    lines = [f'{{"image": "{number}.png", "captions": ["{text}"]}}\n' for number, text in enumerate(captions)]
    (folder / "captions.jsonl").write_text("".join(lines), encoding="utf-8")
    return str(folder / "captions.jsonl")


def test_of_a_large_set_some_texts_are_read(make_run_config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_READ_SAMPLES", 4)
    config = make_run_config()
    data = type(config.data)(train=captions_file(tmp_path, ["red word", "red word", "red word", "long " * 40] * 2))
    report = dry_run(make_run_config(data=data))
    # Of samples 0, 2, 4 and 6 none is long, and the even ones have the words of the others.
    assert (report.truncation.num_captions, report.truncation.num_truncated) == (4, 0)
    text = "\n".join(report.lines())
    assert "0.00% of the 4 captions of 4 of 8 samples" in text
    assert "token ids, trained on 4 of 8 samples, half of which hold all words of the others" in text
    assert report.vocabulary.num_ids < 300


def test_a_vocabulary_that_still_grows_is_taken_to_reach_its_size(
    make_run_config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "MOST_READ_SAMPLES", 4)
    data = type(make_run_config().data)(train=captions_file(tmp_path, [f"word{number}" for number in range(8)]))
    report = dry_run(make_run_config(data=data))
    assert report.vocabulary.num_ids == 300
    assert "300 token ids, the configured size, since 4 of 8 samples do not hold all words" in "\n".join(report.lines())
    monkeypatch.setattr(module, "MOST_READ_SAMPLES", 8)
    all_read = dry_run(make_run_config(data=data))
    assert all_read.vocabulary.num_ids < 300
    # Embeddings and vocabulary head have a row per token id.
    assert report.parameters["all"] > all_read.parameters["all"]
    assert "samples" not in all_read.vocabulary.line(8)


def test_draws_the_first_batch_and_leaves_the_folder_free(make_run_config):
    config = make_run_config()
    report = dry_run(config)
    assert [path.name for path in Path(config.out).iterdir()] == ["first_batch.png"]
    with Image.open(report.picture) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 200


def test_text_has_every_number(make_run_config):
    report = dry_run(make_run_config())
    text = "\n".join(report.lines())
    for expected in ("image_encoder", f"{report.parameters['all']:,}", "GiB at the peak", "hours", "%", ".png"):
        assert expected in text


def test_several_processes_are_refused(make_run_config, monkeypatch: pytest.MonkeyPatch):
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    with pytest.raises(ValueError, match="start it without torchrun"):
        dry_run(make_run_config(runtime=RuntimeConfig(device="cpu", precision="fp32")))
