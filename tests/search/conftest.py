"""A model, photos, and the call that indexes them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sycoca
from builders.predictors import photo, save_small_weights
from sycoca.inference.model_options import ModelOptions
from sycoca.inference.predictor import Predictor
from sycoca.search.build import IndexResult, index_images


@pytest.fixture(scope="session")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return sycoca.load(save_small_weights(tmp_path_factory.mktemp("indexing") / "weights"), device="cpu")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for seed in range(6):
        photo(320 if seed else 40, 36, seed).save(f"photos/it's {seed}.png")
    return Path("photos")


@pytest.fixture
def index(predictor: Predictor) -> Callable[..., IndexResult]:
    def call(data: Any = "photos", **options: Any) -> IndexResult:
        return index_images(predictor, data, "photos.lance", model=ModelOptions(batch_size=2), **options)

    return call
