"""Ten pairs are learned by heart: every part from pixels to words has to work for that."""

from dataclasses import replace
from pathlib import Path

import pytest

import sycoca
from sycoca.data.spec import open_source
from sycoca.evaluation.retrieval import evaluate_retrieval
from sycoca.presets.pretrain import tiny
from sycoca.training.config import DataConfig
from sycoca.training.pretrain import pretrain

SCENES = "scenes:?level=hard&count=10&size=32"


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> sycoca.Predictor:
    preset = tiny()
    image = replace(preset.model.image_encoder, image_size=32, patch_size=8, width=64, depth=2)
    text = replace(preset.model.text_encoder, width=64)
    config = replace(
        preset,
        out=str(tmp_path_factory.mktemp("runs") / "overfit"),
        model=replace(preset.model, image_encoder=image, text_encoder=text),
        data=DataConfig(train=SCENES, cache_images=True),
        optimizer=replace(preset.optimizer, peak_lr=2e-3, weight_decay=0.0),
        schedule=replace(preset.schedule, warmup_steps=20),
        training=replace(preset.training, steps=250, global_batch_size=10, tensorboard=False, evaluate_every=None),
    )
    return sycoca.load(Path(pretrain(config)) / "weights", device="cpu")


def test_captions_are_read_back_word_for_word(predictor: sycoca.Predictor):
    samples = [open_source(SCENES)[i] for i in range(10)]
    images = [sample.open_image for sample in samples]
    for captions in (predictor.caption(images), predictor.caption(images, num_beams=3)):
        # Of a scene's four captions, one is drawn per epoch: any of them is what was learned.
        assert [caption in sample.captions for caption, sample in zip(captions, samples, strict=True)] == [True] * 10


def test_every_caption_finds_its_image(predictor: sycoca.Predictor):
    metrics = evaluate_retrieval(predictor, open_source(SCENES)).metrics
    assert metrics["text_to_image_recall_at_1"] == 1.0
    assert metrics["image_to_text_recall_at_1"] == 1.0


def test_a_wrong_caption_is_less_likely_than_the_right_one(predictor: sycoca.Predictor):
    samples = [open_source(SCENES)[i] for i in range(10)]
    images = [sample.open_image for sample in samples]
    right = predictor.caption_log_likelihood(images, [sample.captions[0] for sample in samples])
    wrong = predictor.caption_log_likelihood(images, [sample.captions[0] for sample in samples[1:] + samples[:1]])
    assert bool((right > wrong + 3).all())
