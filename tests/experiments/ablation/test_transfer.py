"""What an ablation trains after its runs: a linear probe, and a model that answers questions."""

from dataclasses import replace
from pathlib import Path

import pytest

from builders.predictors import ListSource, photo_source, save_small_weights, small_predictor
from builders.small_ablations import small_settings
from sycoca.data.scenes.source import ScenesSource
from sycoca.evaluation.scene_swaps import evaluate_scene_swaps
from sycoca.experiments.ablation import transfer
from sycoca.experiments.ablation.ablate import ablate
from sycoca.experiments.ablation.measures import measure
from sycoca.experiments.ablation.transfer import answered, probed
from sycoca.inference.predictor import Predictor
from sycoca.objectives.config import ObjectivesConfig


def in_float32(predictor: Predictor) -> Predictor:
    predictor.model.float()
    return predictor


def test_a_probe_needs_two_training_images_of_every_class():
    predictor = in_float32(small_predictor())
    scenes = ScenesSource(level="easy", count=240, size=32)
    held_out = ScenesSource(level="easy", count=20, split="test", size=32)
    found = probed(predictor, scenes, held_out)
    assert 0 <= found["probe_accuracy"] <= 1
    assert probed(predictor, ScenesSource(level="easy", count=30, size=32), held_out) == {}
    photos = photo_source([("a red circle",), ("a green star",)])
    assert probed(predictor, photos, held_out) == probed(predictor, scenes, photos) == {}


def test_without_questions_nothing_is_tuned(tmp_path: Path):
    photos = photo_source([("a red circle",), ("a green star",)])
    assert answered(tmp_path / "weights", "scenes:?level=easy&count=4", photos) == {}
    scene = ScenesSource(level="easy", count=1)[0]
    unpublished = tuple(replace(question, answers=()) for question in scene.questions)
    hidden = ListSource(samples=(replace(scene, questions=unpublished),))
    assert answered(tmp_path / "weights", "scenes:?level=easy&count=4", hidden) == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_answers_are_those_of_a_tuned_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(transfer, "VQA_STEPS", 5)
    save_small_weights(tmp_path / "weights")
    scenes = ScenesSource(level="easy", count=8, split="test", size=32)
    train = "scenes:?level=easy&count=16&size=32"
    (tmp_path / "vqa").mkdir()
    (tmp_path / "vqa" / "config.yaml").write_text("of a killed process")
    found = answered(tmp_path / "weights", train, scenes)
    assert set(found) == {"answer_accuracy", "answer_accuracy_question_only"}
    assert answered(tmp_path / "weights", train, scenes) == found
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]


def test_hard_negatives_are_measured_by_what_was_trained():
    scenes = ScenesSource(level="easy", count=6, split="test", size=32)
    predictor = in_float32(small_predictor())
    expected = evaluate_scene_swaps(predictor, scenes).metrics
    found = measure(predictor, scenes, ObjectivesConfig()).metrics
    names = ("swap_accuracy", "swap_accuracy_likelihood")
    assert {name: found[name] for name in names} == {name: expected[name] for name in names}
    captioner = measure(predictor, scenes, ObjectivesConfig(contrastive_weight=0.0)).metrics
    assert captioner["swap_accuracy"] is None
    assert captioner["swap_accuracy_likelihood"] == expected["swap_accuracy_likelihood"]


def test_what_the_probe_needs_is_missed_before_hours_of_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sycoca.experiments.ablation.ablate.find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"linear probe: pip install 'sycoca\[probe\]'"):
        ablate(small_settings(tmp_path))
    assert not (tmp_path / "out").exists()
