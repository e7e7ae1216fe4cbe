"""Equal images and equal captions in a batch: no negatives of each other, and a notice where there must be some."""

import json
import logging
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from sycoca.data.content_keys import image_key, normalized_caption
from sycoca.data.loading.loader import TrainingBatches
from sycoca.data.scenes.source import ScenesSource
from sycoca.data.spec import open_source
from sycoca.preprocess.config import ImageTransformConfig, TokenizerConfig
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.records import ImageTextBatch
from sycoca.training.config import DataConfig, TrainingConfig
from sycoca.training.engine.tracking import read_metrics
from sycoca.training.pretrain import pretrain
from sycoca.training.recipes.image_text.batches import CaptionBatches
from sycoca.training.recipes.notices import repeated_samples_notice


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of three photos and a copy of the first under another name."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, color in (("0.png", "red"), ("1.png", "lime"), ("2.png", "blue")):
        Image.new("RGB", (24, 24), color).save(folder / name)
    shutil.copy(folder / "0.png", folder / "copy.png")
    return folder


def rows_of(photos: Path, *rows: tuple[str, str]) -> str:
    file = photos.parent / "rows.jsonl"
    file.write_text("".join(json.dumps({"image": image, "caption": text}) + "\n" for image, text in rows))
    return f"{file}?images={photos}"


def first_batch(spec: str, size: int, *, cache_images: bool = False) -> ImageTextBatch:
    source = open_source(spec)
    tokenizer = Tokenizer.train(["a red thing", "a lime thing", "a blue thing"], TokenizerConfig(vocab_size=300))
    batches = TrainingBatches(
        source,
        CaptionBatches(source, tokenizer, 9, seed=0),
        ImageTransformConfig(crop_min_area=0.5),
        16,
        seed=0,
        global_batch_size=size,
        with_image_keys=True,
        cache_images=cache_images,
    )
    stream = batches.from_position(0)
    try:
        (batch,) = next(stream)
    finally:
        stream.close()
    assert isinstance(batch, ImageTextBatch)
    return batch


@pytest.mark.parametrize("cache_images", [False, True])
def test_copies_have_equal_keys_whatever_their_names_and_crops(photos: Path, cache_images: bool):
    spec = rows_of(photos, ("0.png", "A  Red Thing"), ("copy.png", "a lime thing"), ("1.png", "a red thing"))
    keys = first_batch(spec, 6, cache_images=cache_images).sample_keys
    assert keys is not None
    # Six places are two epochs: each of the three rows twice.
    assert sorted(torch.unique(keys[:, 0], return_counts=True)[1].tolist()) == [2, 4]
    assert sorted(torch.unique(keys[:, 1], return_counts=True)[1].tolist()) == [2, 4]


def test_a_file_has_the_same_key_in_a_folder_and_in_a_zip_file(photos: Path):
    archive = photos.parent / "photos.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.write(photos / "0.png", "0.png")
    spec = rows_of(photos, ("0.png", "a red thing"))
    in_folder = open_source(spec)[0].open_image
    in_zip = open_source(spec.replace(str(photos), str(archive)))[0].open_image
    assert image_key(in_folder, in_folder()) == image_key(in_zip, in_zip())


def test_without_a_file_the_pixels_are_the_key():
    first, again, second = (ScenesSource(count=2)[index].open_image for index in (0, 0, 1))
    assert image_key(first, first()) == image_key(again, again()) != image_key(second, second())
    assert image_key(first, Image.new("RGB", (20, 40))) != image_key(first, Image.new("RGB", (40, 20)))


def test_captions_are_equal_in_any_case_spacing_and_unicode_form():
    assert normalized_caption(" Un  CAF\u00c9\n") == normalized_caption("un cafe\u0301") == "un caf\u00e9"


def test_a_held_out_batch_knows_its_copies(photos: Path):
    source = open_source(rows_of(photos, ("0.png", "a red thing"), ("copy.png", "a thing"), ("1.png", "A red thing")))
    tokenizer = Tokenizer.train(["a red thing"], TokenizerConfig(vocab_size=300))
    images = torch.rand(2, 3, 8, 8)
    batch = CaptionBatches(source, tokenizer, 9, seed=0).in_order(
        [source[i] for i in range(3)], torch.stack([images[0], images[0], images[1]]), torch.arange(3)
    )
    assert batch.sample_keys is not None
    same = batch.sample_keys[:, None] == batch.sample_keys
    assert same[:, :, 0].tolist() == [[True, True, False], [True, True, False], [False, False, True]]
    assert same[:, :, 1].tolist() == [[True, False, True], [False, True, False], [True, False, True]]


def notices(spec: str, size: int) -> list[str]:
    return list(repeated_samples_notice(open_source(spec), size))


def test_a_batch_that_must_hold_copies_is_announced(photos: Path):
    three = rows_of(photos, ("0.png", "a red thing"), ("1.png", "a lime thing"), ("2.png", "a blue thing"))
    (notice,) = notices(three, 64)
    assert notice == (
        "a batch of 64 holds each of the 3 different images 21.3 times on average; copies are not compared with each"
        " other, so smaller batches train as well: --training.global-batch-size 3"
    )
    assert notices(three, 3) == []
    (notice,) = notices(rows_of(photos, ("0.png", "a thing"), ("1.png", "A  thing"), ("2.png", "a blue thing")), 3)
    assert "each of the 2 different captions 1.5 times" in notice
    (notice,) = notices(rows_of(photos, ("0.png", "a red thing")), 64)
    assert notice == (
        "a batch of 64 holds one image only; copies are not compared with each other, so the contrastive loss is 0"
    )


def losses_and_log(config, spec: str, size: int, caplog: pytest.LogCaptureFixture) -> tuple[Sequence[float], str]:
    training = TrainingConfig(steps=2, global_batch_size=size, log_every=1, tensorboard=False, report=False)
    with caplog.at_level(logging.WARNING, logger="sycoca"):
        out = pretrain(replace(config, data=DataConfig(train=spec), training=training))
    return [line["contrastive"] for line in read_metrics(out / "metrics.jsonl")], caplog.text


def test_one_pair_is_no_negative_of_itself(photos: Path, make_run_config, caplog):
    losses, log = losses_and_log(make_run_config(), rows_of(photos, ("0.png", "a red thing")), 8, caplog)
    assert losses == [0.0, 0.0]  # ln 8 with copies as negatives
    assert "a batch of 8 holds one image only" in log


def test_a_contrastive_loss_of_different_samples_is_announced_by_nothing(photos: Path, make_run_config, caplog):
    spec = rows_of(photos, ("0.png", "a red thing"), ("1.png", "a lime thing"))
    losses, log = losses_and_log(make_run_config(), spec, 2, caplog)
    assert min(losses) > 0
    assert "copies" not in log
