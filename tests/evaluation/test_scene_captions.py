import pytest

from builders.predictors import SCENES, small_predictor
from sycoca.data.scenes.language import ceiling_text_to_image, most_frequent_caption_truth
from sycoca.data.scenes.source import ScenesSource
from sycoca.evaluation.scene_baselines import evaluate_scene_baselines
from sycoca.evaluation.scene_captions import evaluate_scene_captions, scene_caption_metrics, scene_caption_values
from sycoca.inference.decoding.generation import GeneratedCaption
from sycoca.inference.decoding.generation_config import GenerationConfig


def test_metrics_worked_out_by_hand():
    scenes = [SCENES.scene(index) for index in range(4)]
    references = [SCENES[index].captions for index in range(4)]
    first = scenes[1].objects[0]
    wrong = {"red": "blue"}.get(first.color, "red")
    captions = [
        references[0][0],  # true, five facts
        f"a {first.color} {first.shape}",  # true, two facts
        references[2][0] + " and so on",  # does not parse
        f"a {wrong} {first.shape} above a {wrong} {first.shape}",  # false, five facts
    ]
    metrics = scene_caption_metrics(scene_caption_values(captions, scenes, references))
    assert metrics["caption_truth"] == 0.5
    assert metrics["caption_parsed"] == 0.75
    assert metrics["caption_detail"] == pytest.approx((5 + 2 + 0 + 5) / 4 / 5)


def test_captions_belong_to_their_own_scenes(monkeypatch: pytest.MonkeyPatch):
    predictor = small_predictor()

    def read_it_off(images, *_, **__):
        for index in range(len(images)):
            ids = predictor.tokenizer.encode(SCENES[index].captions[2], 99)
            yield GeneratedCaption(tokens=tuple(ids[1:-1]), log_likelihood=0.0, is_complete=True)

    monkeypatch.setattr(predictor, "generate", read_it_off)
    report = evaluate_scene_captions(predictor, SCENES)
    for name in ("caption_truth", "caption_detail", "caption_parsed", "bleu_4", "rouge_l"):
        assert report.metrics[name] == pytest.approx(1.0)
    assert report.counts["scenes"] == 12
    assert report.items["image"].values["caption_truth"] == [1] * 12


def test_a_model_that_knows_nothing_says_nothing_true():
    generation = GenerationConfig(num_beams=2, max_tokens=4)
    report = evaluate_scene_captions(small_predictor(), SCENES, generation=generation, limit=5, batch_size=2)
    assert report.metrics["caption_truth"] == 0.0
    assert report.counts["scenes"] == 5
    assert report.settings["num_beams"] == 2
    assert report.settings["max_tokens"] == 4


def test_refuses_a_model_that_cannot_caption():
    with pytest.raises(ValueError, match="no text decoder"):
        evaluate_scene_captions(small_predictor(model_text_decoder=None), SCENES)


def test_baselines_are_means_over_the_captions():
    source = ScenesSource(level="easy", count=60, split="test")
    report = evaluate_scene_baselines(source, limit=40)
    scenes = [source.scene(index) for index in range(40)]
    ways = [[source[index].captions[way] for index in range(40)] for way in range(4)]
    expected = sum(ceiling_text_to_image(scenes, way) for way in ways) / 4
    assert report.metrics["text_to_image_recall_at_1_ceiling"] == pytest.approx(expected)
    assert report.metrics["text_to_image_recall_at_1_color_only"] < expected
    every = [caption for index in range(40) for caption in source[index].captions]
    assert report.metrics["caption_truth_most_frequent"] == most_frequent_caption_truth(scenes, every)
    assert report.counts == {"scenes": 40, "captions": 160}
