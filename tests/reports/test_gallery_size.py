import pytest
import torch

from builders.predictors import SCENES, small_predictor
from sycoca.reports import gallery_size as module
from sycoca.reports.gallery_size import WHOLE_GALLERY, gallery_size
from sycoca.reports.run_report import gather_gallery


def test_a_small_model_shows_all_examples():
    assert gallery_size(small_predictor()) == WHOLE_GALLERY


def test_a_large_model_shows_fewer_on_a_cpu_and_says_so(monkeypatch: pytest.MonkeyPatch):
    predictor = small_predictor()
    parameters = sum(parameter.numel() for parameter in predictor.model.image_encoder.parameters())
    monkeypatch.setattr(module, "_CPU_BUDGET", 10.5 * parameters * 16)
    examples = gather_gallery(predictor, SCENES, "held-out images")
    assert [example.num_images for example in examples.retrieval] == [10] * 4
    assert len(examples.captions) == 2
    assert len(examples.masks) == 1
    assert examples.remark == "A model of this size takes long on a CPU, so there are examples of 10 images only."


def test_on_a_gpu_it_shows_all(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_CPU_BUDGET", 1.0)
    predictor = small_predictor()
    assert gallery_size(predictor) != WHOLE_GALLERY
    predictor.model.image_encoder.to(torch.device("meta"))
    assert gallery_size(predictor) == WHOLE_GALLERY
