from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from builders.predictors import SCENES, ListSource, open_photo, photo_source, small_predictor
from sycoca.data.samples import ImageTextSample
from sycoca.data.scenes.source import ScenesSource
from sycoca.evaluation.caption_rotation import CaptionRotation
from sycoca.evaluation.comparison import compare_reports
from sycoca.evaluation.grounding import described_ratios, evaluate_grounding, grounding_values
from sycoca.inference.predictor import Predictor
from sycoca.metrics.grounding import described_patch_auc
from sycoca.model.masking_config import MaskingConfig
from sycoca.preprocess.config import ImageTransformConfig


def means_of(scores: torch.Tensor, described: torch.Tensor) -> dict[str, float]:
    return {name: value.mean().item() for name, value in grounding_values(scores, described).items()}


def test_metrics_worked_out_by_hand():
    scores = torch.tensor([[0.9, 0.1, 0.8, 0.2], [0.1, 0.2, 0.3, 0.4]])
    described = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]])
    metrics = means_of(scores, described)
    assert metrics["mask_coverage"] == pytest.approx((0.5 + 1.0) / 2)
    assert metrics["mask_coverage_largest"] == 1.0
    assert metrics["mask_coverage_random"] == 0.5
    # First sample: found at ranks 1 and 4; second: half of the pixels of the first two patches.
    assert metrics["grounding_average_precision"] == pytest.approx(((1 + 2 / 4) / 2 + 0.5) / 2)
    assert metrics["described_ratio"] == pytest.approx((0.5 + 0.25) / 2)


def test_of_an_odd_number_of_patches_the_better_half_is_the_larger_one():
    scores, described = torch.tensor([[4.0, 3.0, 2.0, 1.0, 0.0]]), torch.tensor([[0.0, 0.0, 1.0, 0.0, 0.0]])
    metrics = means_of(scores, described)
    assert metrics["mask_coverage"] == 1.0
    assert metrics["mask_coverage_random"] == 0.6


def test_described_ratios_follow_the_images_own_transform():
    # 32 x 64 pixels, cropped to the middle 32 x 32: patches of 8 pixels.
    pixels = np.zeros((32, 64), dtype=bool)
    pixels[0:8, 16:24] = True  # the first patch of the crop
    pixels[8:16, 44:48] = True  # the right half of the last patch in the second row
    pixels[:, :16] = True  # cropped away
    shares = described_ratios(small_predictor(), pixels)
    expected = torch.zeros(4, 4)
    expected[0, 0], expected[1, 3] = 1.0, 0.5
    torch.testing.assert_close(shares, expected.flatten())
    squashed = described_ratios(small_predictor(transforms=ImageTransformConfig(resize="squash")), pixels)
    torch.testing.assert_close(squashed.reshape(4, 4)[3], torch.tensor([1.0, 0.0, 0.0, 0.0]), atol=0.1, rtol=0)


@pytest.mark.parametrize("batch_size", [5, 64])
def test_measures_each_scene_with_its_captions_in_turn(batch_size: int):
    predictor = small_predictor()
    report = evaluate_grounding(predictor, SCENES, batch_size=batch_size)
    coverages = []
    for index in range(len(SCENES)):
        sample = SCENES[index]
        assert sample.described_pixels is not None
        place = index % len(sample.captions)
        scores = predictor.patch_scores([sample.open_image()], [sample.captions[place]])[0]
        pixels = torch.from_numpy(sample.described_pixels(place)).float()
        worse = scores.argsort()[:8]
        per_patch = pixels.unfold(0, 8, 8).unfold(1, 8, 8).sum((2, 3)).flatten()
        coverages.append(1 - float(per_patch[worse].sum() / per_patch.sum()))
    assert report.metrics["mask_coverage"] == pytest.approx(sum(coverages) / len(coverages), abs=1e-5)
    assert report.counts == {"samples": 12, "samples_with_undescribed_objects": 0, "skipped_samples": 0}
    assert "described_patch_auc" not in report.metrics  # captions of these scenes describe every object
    assert report.metrics["mask_coverage"] <= report.metrics["mask_coverage_largest"]


WITH_DISTRACTORS = ScenesSource(level="easy", count=9, split="test", size=32, distractors=1)


def test_scores_stand_beside_what_the_image_alone_and_another_caption_reach():
    predictor = small_predictor()
    report = evaluate_grounding(predictor, WITH_DISTRACTORS, batch_size=4)
    samples = [WITH_DISTRACTORS[index] for index in range(9)]
    captions = [sample.captions[index % len(sample.captions)] for index, sample in enumerate(samples)]
    described, objects = (
        torch.stack([described_ratios(predictor, pixels) for pixels in own])
        for own in (
            [sample.described_pixels(index % len(sample.captions)) for index, sample in enumerate(samples)],
            [sample.object_pixels() for sample in samples],
        )
    )
    scores = {
        "": predictor.patch_scores(samples, captions),
        "_no_caption": predictor.saliency(samples),
        "_other_caption": predictor.patch_scores(samples, [*captions[1:], captions[0]]),
    }
    for suffix, own in scores.items():
        auc = described_patch_auc(own, described, objects - described).mean().item()
        assert report.metrics[f"described_patch_auc{suffix}"] == pytest.approx(auc, abs=1e-5)
        coverage = means_of(own, described)["mask_coverage"]
        assert report.metrics[f"mask_coverage{suffix}"] == pytest.approx(coverage, abs=1e-5)
    assert report.counts["samples_with_undescribed_objects"] == 9


def test_saliency_is_the_cosine_with_the_images_own_embedding():
    predictor = small_predictor()
    samples = [SCENES[0], SCENES[1]]
    encoded = predictor.model.encode_images(predictor._pixels(samples))
    patches = predictor.model.patch_embeds(encoded.patch_tokens)
    expected = (patches.float() @ predictor.embed_images(samples)[:, :, None]).squeeze(2)
    torch.testing.assert_close(predictor.saliency(samples), expected.detach())


def test_reports_with_the_baselines_can_be_compared_item_by_item():
    report = evaluate_grounding(small_predictor(), WITH_DISTRACTORS)
    comparison = compare_reports({"a": report, "b": report})
    assert all(
        comparison.values[name][0].interval is not None
        for name in report.metrics
        if name.startswith(("described_patch_auc", "mask_coverage"))
    )


def test_the_strategy_of_training_does_not_matter():
    found = []
    for strategy in ("attentive", "inverse", "random"):
        torch.manual_seed(3)
        predictor = small_predictor(masking=MaskingConfig(strategy=strategy))
        found.append(evaluate_grounding(predictor, SCENES).metrics["mask_coverage"])
    assert found[0] == found[1] == found[2]


def test_counts_what_it_skips():
    described = (np.ones((36, 40), dtype=bool),)
    sample = ImageTextSample(
        key="a", captions=("a thing",), open_image=partial(open_photo, 0), described_pixels=described.__getitem__
    )
    nothing = replace(sample, described_pixels=lambda _: np.zeros((36, 40), dtype=bool))
    unknown = replace(sample, described_pixels=None, open_image=partial(open_photo, 2))
    report = evaluate_grounding(small_predictor(), ListSource(samples=(unknown, sample, nothing)))
    assert report.counts == {"samples": 1, "samples_with_undescribed_objects": 0, "skipped_samples": 2}
    assert report.metrics["mask_coverage"] == 0.5


def test_one_sample_has_no_other_caption():
    source = ScenesSource(level="easy", count=1, split="test", size=32, distractors=1)
    report = evaluate_grounding(small_predictor(), source)
    keys = ["described_patch_auc_other_caption", "mask_coverage_other_caption"]
    assert {"mask_coverage", "mask_coverage_no_caption", "described_patch_auc"} < report.metrics.keys()
    assert not any(name.endswith("_other_caption") for own in report.items.values() for name in own.values)
    assert not set(keys) & set(report.metrics)
    assert all(str(report.settings[key]).startswith("not computed: no other sample") for key in keys)
    assert sum("no other sample has another caption" in line for line in str(report.table().caption).split("\n")) == 2


def test_another_caption_is_none_of_the_samples_own_however_it_is_written():
    captions = [("A caf\u00e9", "a bar"), ("a  CAFE\u0301",), ("a bar ",), ("a hat", "a bar")]
    source = photo_source(captions)
    rotation = CaptionRotation(source, 4)
    found = [rotation.other_than(source[index], index) for index in range(4)]
    # The last one's is its second caption, which the first image has, too.
    assert [other and other.index for other in found] == [None, 2, 0, 0]
    assert CaptionRotation(source, 3).other_than(source[0], 0) is None


def test_a_sample_without_any_other_caption_leaves_the_baseline_out(monkeypatch: pytest.MonkeyPatch):
    samples = [WITH_DISTRACTORS[index] for index in (0, 4, 8)]
    first, second, third = (replace(sample, captions=sample.captions[:1]) for sample in samples)
    several = ListSource(samples=(first, replace(second, captions=first.captions), third))
    predictor = small_predictor()
    texts: list[tuple[str, ...]] = []
    patch_scores = Predictor.patch_scores

    def seen(own: Predictor, images: object, captions: list[str], *, batch_size: int = 64) -> torch.Tensor:
        texts.append(tuple(captions))
        return patch_scores(own, images, captions, batch_size=batch_size)

    monkeypatch.setattr(Predictor, "patch_scores", seen)
    evaluate_grounding(predictor, several)
    assert texts[1] == (third.captions[0], third.captions[0], first.captions[0])
    both = replace(third, captions=(*third.captions, *first.captions))
    report = evaluate_grounding(predictor, ListSource(samples=(first, both)))
    assert "mask_coverage_other_caption" not in report.metrics
    assert report.counts["samples"] == 2


def test_a_sample_without_captions_is_named():
    source = photo_source([("a thing",), ()])
    with pytest.raises(ValueError, match="a list: photo-1 has no caption"):
        evaluate_grounding(small_predictor(), source, batch_size=1)
    with pytest.raises(ValueError, match="a list: photo-1 has no caption"):
        evaluate_grounding(small_predictor(), source)


def test_refuses_data_without_truth():
    with pytest.raises(ValueError, match="a list does not say which pixels its captions describe"):
        evaluate_grounding(small_predictor(), photo_source([("a thing",)]))
