from collections.abc import Sequence

import numpy as np
import pytest
import torch

from builders.predictors import CONTEXT_LENGTH, SCENES, photo_source, small_predictor
from sycoca.data.scenes.source import ScenesSource
from sycoca.evaluation.comparison import compare_reports
from sycoca.evaluation.reconstruction import evaluate_reconstruction, reconstruction_values
from sycoca.facts.metric_suffixes import EMPTY_CAPTION, OTHER_CAPTION
from sycoca.inference.predictor import Predictor
from sycoca.model.patches import gather_patches, patchify, split_by_mask
from sycoca.objectives.masked_image import masked_image_loss, normalize_patches
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.preprocess.image_transforms import inference_image
from sycoca.preprocess.token_batch import encode_batch


def test_values_worked_out_by_hand():
    errors = {
        "": torch.tensor([[1.0, 3.0], [2.0, 2.0]]),
        OTHER_CAPTION: torch.tensor([[2.0, 4.0], [1.0, 5.0]]),
        EMPTY_CAPTION: torch.tensor([[1.0, 3.0], [2.0, 8.0]]),
    }
    counts = torch.tensor([[True, True], [False, True]])
    values = reconstruction_values(errors, counts, "_described")
    assert {name: value.tolist() for name, value in values.items()} == {
        "reconstruction_error_described": [2.0, 2.0],
        "reconstruction_error_described_other_caption": [3.0, 5.0],
        "reconstruction_error_described_empty_caption": [2.0, 8.0],
        "reconstruction_gain_described_over_other": [1.0, 3.0],
        "reconstruction_gain_described_over_empty": [0.0, 6.0],
    }


def test_errors_are_those_of_the_objective():
    predictor = small_predictor()
    samples = [SCENES[0], SCENES[1]]
    is_masked = torch.zeros(2, 16, dtype=torch.bool)
    is_masked[0, [3, 7]] = is_masked[1, [0, 15]] = True
    captions = [sample.captions[0] for sample in samples]
    found = predictor.reconstruction_errors(samples, captions, is_masked)
    pixels = torch.stack(
        [inference_image(sample.open_image(), 32, ImageTransformConfig()) for sample in samples]
    ).double()
    texts = encode_batch(predictor.tokenizer, captions, CONTEXT_LENGTH)
    states = predictor.model.encode_texts(texts.tokens, texts.is_padding).token_states
    masked = split_by_mask(is_masked)
    with torch.no_grad():
        predicted = predictor.model.reconstruct(pixels, masked, states, texts.is_padding)
    target = normalize_patches(gather_patches(patchify(pixels, 8), masked.chosen))
    for row in range(2):
        one = slice(row, row + 1)
        loss = masked_image_loss(predicted[one], target[one], "squared", num_samples=1)
        assert float(found[row].mean()) == pytest.approx(float(loss), rel=1e-5)
    torch.testing.assert_close(found[1:], predictor.reconstruction_errors(samples[1:], captions[1:], is_masked[1:]))


def with_errors(predictor: Predictor, monkeypatch: pytest.MonkeyPatch, of_caption: dict[str, float]) -> None:
    """Let every masked patch have the error of its caption, 1 for captions that are not named."""

    def errors(images: Sequence[object], captions: Sequence[str], is_masked: torch.Tensor, *, batch_size: int):
        del images, batch_size
        rows = torch.tensor([of_caption.get(caption, 1.0) for caption in captions])
        return rows[:, None].expand(-1, int(is_masked[0].sum()))

    monkeypatch.setattr(type(predictor), "reconstruction_errors", lambda _, *args, **kwargs: errors(*args, **kwargs))


def test_each_kind_of_caption_has_its_own_error(monkeypatch: pytest.MonkeyPatch):
    predictor = small_predictor()
    with_errors(predictor, monkeypatch, {"": 4.0})
    metrics = evaluate_reconstruction(predictor, SCENES).metrics
    assert metrics["reconstruction_error"] == metrics["reconstruction_error_other_caption"] == 1.0
    assert metrics["reconstruction_error_empty_caption"] == 4.0
    assert metrics["reconstruction_gain_described_over_empty"] == 3.0
    assert metrics["reconstruction_gain_undescribed_over_other"] == 0.0


def test_the_other_caption_is_the_next_samples(monkeypatch: pytest.MonkeyPatch):
    predictor = small_predictor()
    source = photo_source([("a",), ("b",), ("c", "d", "e")])
    with_errors(predictor, monkeypatch, {"a": 1.0, "b": 2.0, "e": 3.0, "c": 99.0, "d": 99.0})
    report = evaluate_reconstruction(predictor, source, batch_size=2)
    items = report.items["samples"].values
    assert items["reconstruction_error"] == [1.0, 2.0, 3.0]
    assert items["reconstruction_error_other_caption"] == [2.0, 3.0, 1.0]
    assert report.counts == {"samples": 3}


@pytest.mark.parametrize("batch_size", [5, 64])
def test_metrics_are_means_of_items_for_any_batches(batch_size: int):
    predictor = small_predictor()
    source = ScenesSource(level="medium", count=12, split="test", size=32)
    report = evaluate_reconstruction(predictor, source, batch_size=batch_size)
    whole = evaluate_reconstruction(predictor, source, batch_size=12)
    assert report.metrics == pytest.approx(whole.metrics)
    for items in report.items.values():
        for name, values in items.values.items():
            assert report.metrics[name] == pytest.approx(float(np.mean(values)))
    assert set(compare_reports({"one": report, "other": whole}).values) == set(report.metrics)


def test_masks_do_not_depend_on_the_model(monkeypatch: pytest.MonkeyPatch):
    seen: list[torch.Tensor] = []

    def errors(_: Predictor, images: Sequence[object], captions: object, is_masked: torch.Tensor, *, batch_size: int):
        del captions, batch_size
        seen.append(is_masked)
        return torch.ones(len(images), 8)

    monkeypatch.setattr(Predictor, "reconstruction_errors", errors)
    for predictor in (small_predictor(), small_predictor()):
        evaluate_reconstruction(predictor, SCENES)
    assert len(seen) == 6  # three captions each
    assert all(torch.equal(seen[0], masks) for masks in seen)
    assert (seen[0].sum(1) == 8).all()
    assert len({tuple(row) for row in seen[0].tolist()}) > 6


def test_a_model_without_image_decoder_says_so():
    with pytest.raises(ValueError, match="image decoder"):
        evaluate_reconstruction(small_predictor(model_image_decoder=None), SCENES)


def test_one_sample_has_no_other_caption():
    with pytest.raises(ValueError, match="one sample"):
        evaluate_reconstruction(small_predictor(), photo_source([("a",)]))


def test_the_other_caption_is_another_one(monkeypatch: pytest.MonkeyPatch):
    predictor = small_predictor()
    with_errors(predictor, monkeypatch, {"a": 1.0, " A": 2.0, "c": 3.0})
    report = evaluate_reconstruction(predictor, photo_source([("a",), (" A",), ("c",)]))
    assert report.items["samples"].values["reconstruction_error_other_caption"] == [3.0, 3.0, 1.0]
    with pytest.raises(ValueError, match="a list: no other sample has another caption than photo-0"):
        evaluate_reconstruction(predictor, photo_source([("a",), (" A",)]))


def test_a_sample_without_captions_is_named():
    with pytest.raises(ValueError, match="a list: photo-1 has no caption"):
        evaluate_reconstruction(small_predictor(), photo_source([("a",), ()]))
