from pathlib import Path

import pytest
from PIL import Image

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
    assert report.images_per_second > 0
    assert report.hours == pytest.approx(16 / report.images_per_second / 3600)


def test_counts_captions_that_are_cut(make_run_config, tmp_path: Path):
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    lines = ['{"image": "a.png", "captions": ["word", "%s"]}\n' % ("long " * 40)] * 4
    (tmp_path / "captions.jsonl").write_text("".join(lines), encoding="utf-8")
    config = make_run_config()
    config = make_run_config(data=type(config.data)(train=str(tmp_path / "captions.jsonl")))
    assert dry_run(config).truncated_ratio == 0.5


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
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    with pytest.raises(ValueError, match="start it without torchrun"):
        dry_run(make_run_config())
