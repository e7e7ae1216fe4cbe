"""What weights are good for follows from what was done with them, and is said wherever they are used."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from builders.predictors import SCENES, open_photo, photo, photos, small_config, small_predictor, small_tokenizer
from sycoca.data.benchmarks.records import CaptionChoice, NamedImage
from sycoca.evaluation.caption_scores import caption_report
from sycoca.evaluation.captioning import CaptioningOptions, evaluate_captioning
from sycoca.evaluation.class_options import ClassOptions
from sycoca.evaluation.clip_scores import CaptionJudge, clip_score_part
from sycoca.evaluation.filter_pairs import filter_pairs
from sycoca.evaluation.grounding import evaluate_grounding
from sycoca.evaluation.hard_negatives.evaluate import evaluate_hard_negatives
from sycoca.evaluation.report import Report
from sycoca.evaluation.report_parts import joined
from sycoca.evaluation.retrieval import RetrievalOptions, evaluate_retrieval
from sycoca.evaluation.scene_captions import evaluate_scene_captions
from sycoca.evaluation.scene_swaps import evaluate_scene_swaps
from sycoca.evaluation.tasks.registry import task_class
from sycoca.evaluation.vqa import VqaOptions, evaluate_vqa
from sycoca.evaluation.zero_shot import ZeroShotPrompts, evaluate_zero_shot
from sycoca.facts.limit_facts import ABILITIES, AbsentPart, ModelLimits, SpoiledAbility
from sycoca.facts.objective_facts import ObjectiveName
from sycoca.inference.caption_set import caption_set
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.onnx_export import folder
from sycoca.inference.onnx_export.folder import write_companions
from sycoca.inference.onnx_export.graphs import graphs_of
from sycoca.inference.onnx_export.sycoca_onnx import Model
from sycoca.inference.predictor import Predictor
from sycoca.weights.config import WeightsConfig
from sycoca.weights.limits import (
    cautions,
    limits_after_training,
    limits_of,
    limits_of_average,
    limits_of_converted,
    why_missing,
)

PAIRS: dict[ObjectiveName, float] = {"contrastive": 1.0, "captioning": 2.0, "masked_image": 1.0}
CONFIG = small_config(small_tokenizer())
BASE = "runs/base/weights"

SPOILED = ModelLimits(
    spoiled=tuple(
        SpoiledAbility(ability=ability, reason="other_training", training="vqa", weights=BASE) for ability in ABILITIES
    )
)
ABOUT_CAPTIONS = "fine-tuning for VQA changed this model without the captioning objective: do not rely on captions"
ABOUT_SIMILARITIES = "fine-tuning for VQA changed this model without the contrastive objective: do not rely on simil"


def config(limits: ModelLimits | None = None, **changes: Any) -> WeightsConfig:
    return replace(CONFIG, limits=limits, model=replace(CONFIG.model, **changes))


def reasons(limits: ModelLimits) -> dict[str, str]:
    return {one.ability: one.reason for one in limits.spoiled} | {one.part: one.reason for one in limits.absent}


def after(before: WeightsConfig | None, objectives: dict[ObjectiveName, float], **changes: Any) -> ModelLimits:
    return limits_after_training(
        before, config(**changes).model, objectives, training="vqa", weights=None if before is None else BASE
    )


def test_training_from_scratch_leaves_out_what_it_does_not_train():
    assert after(None, PAIRS) == ModelLimits()
    assert reasons(after(None, PAIRS | {"contrastive": 0.0})) == {"similarities": "objective_off"}
    without = after(None, {"contrastive": 1.0}, text_decoder=None, image_decoder=None)
    assert reasons(without) == {"text_decoder": "objective_off", "image_decoder": "objective_off"}


def test_another_training_spoils_and_leaves_behind():
    limits = after(config(), {"answering": 1.0}, image_decoder=None)
    assert reasons(limits) == {
        "captions": "other_training",
        "similarities": "other_training",
        "image_decoder": "left_behind",
    }
    assert {one.weights for one in (*limits.spoiled, *limits.absent)} == {BASE}
    assert reasons(after(config(SPOILED), PAIRS)) == {}, "trained again"


def test_what_was_spoiled_before_keeps_its_reason():
    before = config(SPOILED, image_decoder=None)
    before = replace(
        before, limits=replace(SPOILED, absent=(AbsentPart(part="image_decoder", reason="not_in_source"),))
    )
    limits = limits_after_training(
        before,
        config(text_decoder=None, image_decoder=None).model,
        {"classification": 1.0},
        training="classification",
        weights="runs/vqa/weights",
    )
    assert limits.spoiled == SPOILED.spoiled
    assert limits.absent == (
        AbsentPart(part="text_decoder", reason="left_behind", training="classification", weights="runs/vqa/weights"),
        AbsentPart(part="image_decoder", reason="not_in_source"),
    )


def test_frozen_encoders_keep_what_they_can():
    limits = limits_after_training(
        config(), CONFIG.model, {"captioning": 1.0}, training="pretraining", weights=BASE, changes_encoders=False
    )
    assert limits == ModelLimits()


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [
        (0.0, {}),
        (0.5, {"captions": "averaged", "similarities": "averaged"}),
        (1.0, dict.fromkeys(ABILITIES, "other_training")),
    ],
)
def test_averages_have_something_of_both(alpha: float, expected: dict[str, str]):
    end = config(replace(SPOILED, absent=(AbsentPart(part="text_decoder", reason="left_behind"),)), text_decoder=None)
    assert reasons(limits_of_average(config(), end, CONFIG.model, alpha)) == expected
    both = limits_of_average(end, end, end.model, 0.5)
    assert reasons(both) == dict.fromkeys(ABILITIES, "other_training") | {"text_decoder": "left_behind"}


def test_averaged_abilities_need_no_warning():
    averaged = limits_of_average(config(), config(SPOILED), CONFIG.model, 0.5)
    assert cautions(config(averaged), *ABILITIES) == ()
    assert len(cautions(config(SPOILED), *ABILITIES)) == 2
    assert len(cautions(config(SPOILED, text_decoder=None), *ABILITIES)) == 1, "no decoder, no captions"


def old(history: tuple[str, ...], **changes: Any) -> WeightsConfig:
    """Return a config as earlier versions wrote it."""
    names = {"num_classes": "class_names", "num_answers": "answers"}
    listed = {names[name]: tuple(map(str, range(size))) for name, size in changes.items() if name in names}
    return replace(CONFIG, history=history, model=replace(CONFIG.model, **changes), **listed)


@pytest.mark.parametrize(
    ("config", "part", "message"),
    [
        (
            old(("Fine-tuned for classification from `a/b` for 9 steps.",), text_decoder=None, num_classes=2),
            "text_decoder",
            "this model has no text decoder: fine-tuning for classification keeps none; the weights that it started"
            " from may have one",
        ),
        (
            old(("Converted from a checkpoint of open_clip, `clip.pt`.",), text_decoder=None),
            "text_decoder",
            "this model has no text decoder: the model that it was converted from has none; sycoca pretrain"
            " --start.weights adds one",
        ),
        (
            old(("Trained from scratch (preset `tiny`) for 9 steps.",), image_decoder=None),
            "image_decoder",
            "this model has no image decoder: it was trained without the objective that needs one",
        ),
        (old(()), "answer_head", "this model has no head for answers: fine-tune it with sycoca finetune vqa"),
        (
            config(
                ModelLimits(absent=(AbsentPart(part="class_head", reason="left_behind", training="vqa", weights=BASE),))
            ),
            "class_head",
            f"this model has no head for classes: fine-tuning for VQA left it behind; {BASE}, from which it started,"
            " has one",
        ),
        (config(ModelLimits(), text_decoder=None), "text_decoder", "this model has no text decoder"),
        (
            config(limits_of_converted(config(text_decoder=None).model), text_decoder=None),
            "text_decoder",
            "this model has no text decoder: the model that it was converted from has none; sycoca pretrain"
            " --start.weights adds one",
        ),
    ],
)
def test_messages_about_missing_parts_say_why(config: WeightsConfig, part: Any, message: str):
    assert why_missing(config, part) == message


def test_old_folders_tell_what_they_can():
    (about_captions, _) = cautions(old(("Fine-tuned for vqa from `a/b` for 9 steps.",), num_answers=2), *ABILITIES)
    assert about_captions.endswith("; use a/b, from which it started, or the average of both (sycoca average)")
    assert limits_of(old(())) == ModelLimits()


def spoiled_predictor(**changes: Any) -> Predictor:
    return small_predictor(limits=SPOILED, **changes)


USES: dict[str, tuple[Callable[[Predictor], object], str]] = {
    "caption": (lambda predictor: predictor.caption(photos(1), max_tokens=2), ABOUT_CAPTIONS),
    "likelihood": (lambda predictor: predictor.caption_log_likelihood(photos(1), ["a"]), ABOUT_CAPTIONS),
    "candidates": (lambda predictor: predictor.candidate_log_likelihoods(photos(1), [["a"]]), ABOUT_CAPTIONS),
    "open-ended": (lambda predictor: predictor.ask(photo(), "a", open_ended=True), ABOUT_CAPTIONS),
    "likelihood of classes": (
        lambda predictor: predictor.classify(photos(1), ["red", "blue"], scorer="likelihood"),
        ABOUT_CAPTIONS,
    ),
    "caption_set": (lambda predictor: caption_set(predictor, SCENES), ABOUT_CAPTIONS),
    "embed_images": (lambda predictor: predictor.embed_images(photos(1)), ABOUT_SIMILARITIES),
    "embed_texts": (lambda predictor: predictor.embed_texts(["a"]), ABOUT_SIMILARITIES),
    "similarity": (lambda predictor: predictor.similarity(photos(1), ["a"]), ABOUT_SIMILARITIES),
    "classify": (lambda predictor: predictor.classify(photos(1), ["red", "blue"]), ABOUT_SIMILARITIES),
    "patch_scores": (lambda predictor: predictor.patch_scores(photos(1), ["a"]), ABOUT_SIMILARITIES),
    "explain": (lambda predictor: predictor.explain(photo(), "a"), ABOUT_SIMILARITIES),
    "filter_pairs": (lambda predictor: filter_pairs(predictor, SCENES, min_similarity=0.0), ABOUT_SIMILARITIES),
}


@pytest.mark.parametrize("use", USES)
def test_every_use_of_a_spoiled_ability_is_warned_of_once(use: str, caplog: pytest.LogCaptureFixture):
    called, message = USES[use]
    predictor = spoiled_predictor()
    for _ in range(2):
        called(predictor)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert sum(warning.startswith(message) for warning in warnings) == 1
    assert len(warnings) == len(set(warnings)) <= 2


def test_the_own_task_and_features_need_no_warning(caplog: pytest.LogCaptureFixture):
    predictor = spoiled_predictor(answers=("yes", "no"), model_num_answers=2)
    predictor.ask(photo(), "is it?")
    predictor.image_features(photos(1))
    predictor.reconstruct(photo(), "a")
    assert caplog.text == ""
    small_predictor().caption(photos(1), max_tokens=2)
    assert caplog.text == ""


CLASSES = ZeroShotPrompts(scorer="likelihood")

CHOICES = [
    CaptionChoice(
        key="1", image=NamedImage(name="a", open_image=partial(open_photo, 0)), caption="a", negative="b", kind="swap"
    )
]


def judged(predictor: Predictor) -> Report:
    """Return a report whose captions the predictor has scored."""
    judge = CaptionJudge(predictor=predictor, source=SCENES, weights="small", weights_sha256="0")
    references = {SCENES[0].key: SCENES[0].captions}
    report = caption_report({SCENES[0].key: "a dog"}, references, with_meteor=False, counts={}, settings={})
    return joined(report, [clip_score_part(judge, {SCENES[0].key: "a dog"}, references)])


REPORTS: dict[str, tuple[Callable[[Predictor], Report], tuple[str, ...]]] = {
    "captioning": (
        lambda predictor: evaluate_captioning(predictor, SCENES, options=CaptioningOptions(with_meteor=False)),
        (ABOUT_CAPTIONS,),
    ),
    "retrieval": (lambda predictor: evaluate_retrieval(predictor, SCENES), (ABOUT_SIMILARITIES,)),
    "re-ranking": (
        lambda predictor: evaluate_retrieval(predictor, SCENES, options=RetrievalOptions(re_rank=2)),
        (ABOUT_CAPTIONS, ABOUT_SIMILARITIES),
    ),
    "zero-shot": (lambda predictor: evaluate_zero_shot(predictor, SCENES), (ABOUT_SIMILARITIES,)),
    "zero-shot by likelihood": (
        lambda predictor: evaluate_zero_shot(predictor, SCENES, prompts=CLASSES),
        (ABOUT_CAPTIONS,),
    ),
    "grounding": (lambda predictor: evaluate_grounding(predictor, SCENES), (ABOUT_SIMILARITIES,)),
    "scene captions": (lambda predictor: evaluate_scene_captions(predictor, SCENES), (ABOUT_CAPTIONS,)),
    "scene swaps": (lambda predictor: evaluate_scene_swaps(predictor, SCENES), (ABOUT_CAPTIONS, ABOUT_SIMILARITIES)),
    "hard negatives": (
        lambda predictor: evaluate_hard_negatives(predictor, CHOICES, "pairs"),
        (ABOUT_CAPTIONS, ABOUT_SIMILARITIES),
    ),
    "CLIPScore": (lambda predictor: judged(predictor), (ABOUT_SIMILARITIES,)),
    "open-ended VQA": (
        lambda predictor: evaluate_vqa(
            predictor, SCENES, options=VqaOptions(open_ended=GenerationConfig(max_tokens=2))
        ),
        (ABOUT_CAPTIONS,),
    ),
}


@pytest.mark.parametrize("task", REPORTS)
def test_reports_remark_what_was_spoiled(task: str):
    evaluate, said = REPORTS[task]
    remarks = evaluate(spoiled_predictor()).remarks
    assert len([remark for remark in remarks if "changed this model" in remark]) == len(said)
    for message in said:
        assert any(remark.startswith(message) for remark in remarks)
    assert not any("changed this model" in remark for remark in evaluate(small_predictor()).remarks)


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("captioning", {}),
        ("scene-captions", {}),
        ("retrieval", {"re_rank": 2}),
        ("zero-shot", {"prompts": ClassOptions(scorer="likelihood")}),
        ("vqa", {"open_ended": True}),
    ],
)
def test_tasks_refuse_models_without_decoder_before_anything_runs(task: str, options: dict[str, Any]):
    evaluation = task_class(task)(data="scenes:?count=3&size=32", **options)
    evaluation.check_model(small_predictor())
    with pytest.raises(ValueError, match="this model has no text decoder: it was trained without the objective"):
        evaluation.check_model(small_predictor(model_text_decoder=None))


def test_exports_say_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    predictor = spoiled_predictor(model_text_decoder=None)
    predictor.model.float()
    write_companions(predictor, graphs_of(predictor.model), tmp_path)
    assert f"## Limits\n\n- {ABOUT_SIMILARITIES}" in (tmp_path / "README.md").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match=r"^this model has no text decoder$"):
        Model(tmp_path).caption([])
    monkeypatch.setattr(folder, "graphs_of", lambda _: [])
    with pytest.raises(ValueError, match=r"max|empty"):
        folder.export_onnx(predictor, tmp_path / "onnx")
    assert caplog.text.count(ABOUT_SIMILARITIES) == 1
    unspoiled = small_predictor()
    write_companions(unspoiled, graphs_of(unspoiled.model), tmp_path)
    assert "## Limits" not in (tmp_path / "README.md").read_text(encoding="utf-8")
