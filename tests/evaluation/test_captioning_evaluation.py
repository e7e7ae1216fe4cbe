import json
from pathlib import Path

import pytest

from builders.predictors import SCENES, photo_source, small_predictor
from sycoca.evaluation.caption_scores import caption_report
from sycoca.evaluation.captioning import CaptioningOptions, evaluate_captioning
from sycoca.evaluation.sharding import Sharding
from sycoca.inference.decoding.generation_config import GenerationConfig

PLAIN = CaptioningOptions(with_meteor=False)


def test_captions_are_scored_against_all_references(tmp_path: Path):
    predictor = small_predictor()
    options = CaptioningOptions(
        generation=GenerationConfig(max_tokens=9, min_tokens=4), with_meteor=False, predictions=tmp_path / "out.json"
    )
    report = evaluate_captioning(predictor, SCENES, options=options, batch_size=5, limit=7)
    captions = predictor.caption([SCENES[i] for i in range(7)], max_tokens=9, min_tokens=4)
    assert report.counts["images"] == 7
    assert report.counts["captions"] == sum(len(SCENES[i].captions) for i in range(7))
    assert report.counts["different_captions"] == len(set(captions))
    written = json.loads((tmp_path / "out.json").read_text())
    assert [entry["caption"] for entry in written] == captions
    assert [entry["image_id"] for entry in written] == [SCENES[i].key for i in range(7)]
    assert report.settings["max_tokens"] == 9
    assert report.settings["meteor"] == "not computed: not requested"
    again = caption_report(
        dict(zip([SCENES[i].key for i in range(7)], captions, strict=True)),
        {SCENES[i].key: SCENES[i].captions for i in range(7)},
        with_meteor=False,
        counts={},
        settings={},
    )
    assert report.metrics == again.metrics


def test_what_images_contribute_makes_up_the_metrics():
    report = evaluate_captioning(small_predictor(), SCENES, options=PLAIN)
    items = report.items["image"]
    assert list(items.keys) == [SCENES[i].key for i in range(len(SCENES))]
    for name in ("cider", "rouge_l"):
        assert sum(items.values[name]) / len(items.keys) == pytest.approx(report.metrics[name])


def test_processes_share_the_images_and_find_the_same():
    predictor = small_predictor()
    alone = evaluate_captioning(predictor, SCENES, options=PLAIN, batch_size=4)
    gathered: list[list[str]] = []
    for rank in range(2):
        sharding = Sharding(rank=rank, world_size=2, gather_plain=lambda own: gathered.append(own) or [*own] * 2)
        evaluate_captioning(predictor, SCENES, options=PLAIN, batch_size=4, sharding=sharding)
    captions = gathered[0] + gathered[1]
    keys = [SCENES[i].key for i in range(len(SCENES))]
    references = {key: SCENES[i].captions for i, key in enumerate(keys)}
    together = caption_report(
        dict(zip(keys, captions, strict=True)), references, with_meteor=False, counts={}, settings={}
    )
    assert together.metrics == alone.metrics


def test_an_image_without_references_is_named():
    with pytest.raises(ValueError, match="photo-1 has no caption to compare with"):
        evaluate_captioning(small_predictor(), photo_source([("a dog",), ()]), options=PLAIN)
    with pytest.raises(ValueError, match=r"b has no references to compare its caption with \(1 such images\)"):
        caption_report({"a": "x", "b": "y"}, {"a": ["x"], "b": []}, counts={}, settings={})


def test_empty_captions_count_and_score_nothing():
    report = caption_report(
        {"a": "a red fox", "b": " . "}, {"a": ["a red fox"], "b": ["an owl"]}, with_meteor=False, counts={}, settings={}
    )
    assert report.counts["empty_captions"] == 1
    assert report.counts["images"] == 2
    assert report.metrics["rouge_l"] == 0.5


def test_the_table_says_why_a_metric_is_missing(capsys: pytest.CaptureFixture[str]):
    from rich.console import Console

    report = caption_report({"a": "x"}, {"a": ["x"]}, with_meteor=False, counts={}, settings={})
    Console(width=120).print(report.table())
    assert "meteor not computed: not requested" in " ".join(capsys.readouterr().out.split())
