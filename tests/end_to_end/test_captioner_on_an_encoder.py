"""docs/how_to/captioner_from_clip.md on an encoder that was trained: the quickstart's own, alone in a folder."""

from pathlib import Path

import pytest
from rich.console import Console

import sycoca
from sycoca.cli.main import main
from sycoca.data.scenes.source import ScenesSource
from sycoca.data.spec import open_source
from sycoca.evaluation.scene_baselines import evaluate_scene_baselines
from sycoca.evaluation.scene_captions import evaluate_scene_captions
from sycoca.weights.parts import load_parts, save_image_encoder

TEST_SCENES = "scenes:?level=easy&count=500&split=test"
OF_ENCODER = "image_encoder."

ON_CACHED_FEATURES = (
    *("--start.frozen", "image_encoder", "--data.cached-views", "1", "--data.validation", "None"),
    *("--objectives.contrastive-weight", "0", "--objectives.masked-image-weight", "0"),
    *("--masking.no-hides-from-captioning", "--training.steps", "800"),
)

QUIET = ("--runtime.device", "cpu", "--training.no-report", "--training.no-tensorboard")


@pytest.mark.slow
def test_a_captioner_on_the_frozen_encoder_of_the_quickstart_says_what_is_there(tmp_path: Path):
    assert main(["pretrain", "tiny", "--out", str(tmp_path / "whole"), "--data.validation", "None", *QUIET]) == 0
    whole = load_parts(tmp_path / "whole" / "weights")
    encoder = {name.removeprefix(OF_ENCODER): own for name, own in whole.tensors.items() if name.startswith(OF_ENCODER)}
    save_image_encoder(tmp_path / "encoder", whole.config.image_encoder, encoder, whole.config.transforms)
    captioner = tmp_path / "captioner"
    command = ["pretrain", "tiny", "--start.weights", str(tmp_path / "encoder"), "--out", str(captioner)]
    cache = ["--data.cache-folder", str(tmp_path / "cache")]
    assert main([*command, *ON_CACHED_FEATURES, *cache, *QUIET]) == 0
    predictor, scenes = sycoca.load(captioner / "weights", device="cpu"), open_source(TEST_SCENES)
    assert isinstance(scenes, ScenesSource)
    found = evaluate_scene_captions(predictor, scenes, console=Console(quiet=True)).metrics
    assert found["caption_truth"] >= 0.6
    assert evaluate_scene_baselines(scenes).metrics["caption_truth_most_frequent"] < 0.05
    for name, tensor in encoder.items():
        assert predictor.model.image_encoder.get_parameter(name).equal(tensor), name
