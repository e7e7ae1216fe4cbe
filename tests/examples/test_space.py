"""The functions of the Gradio application for Spaces, with a stand-in for Gradio."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from PIL import Image

from builders.documents import ROOT
from builders.predictors import SCENES, save_small_weights


class ShownError(Exception):
    """Stands for Gradio's error, whose text the page shows."""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(sys.modules, "gradio", MagicMock(Error=ShownError))
    monkeypatch.setenv("SYCOCA_WEIGHTS", str(save_small_weights(tmp_path / "weights")))
    spec = importlib.util.spec_from_file_location("space_app", ROOT / "examples" / "space" / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = ModuleType(spec.name)
    spec.loader.exec_module(module)
    return module


def test_what_the_buttons_of_the_space_call(app: Any):
    image = SCENES[0].open_image()
    assert app.caption(image, 2) == app.predictor.caption(image, num_beams=2)[0]
    assert app.answer(image, "what?") == app.predictor.ask(image, "what?", open_ended=True)
    probabilities = app.classify(image, "dog, cat,, a red circle ")
    assert list(probabilities) == ["dog", "cat", "a red circle"]
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
    shown = app.explain(image, "a red circle")
    assert isinstance(shown, Image.Image)
    assert shown.size == (32, 32)
    assert len(np.unique(np.asarray(shown))) > 10


def test_the_page_of_the_space_says_why_not(app: Any):
    image = SCENES[0].open_image()
    for function, value in ((app.caption, 2), (app.answer, "what?"), (app.classify, "dog"), (app.explain, "dog")):
        with pytest.raises(ShownError, match="choose an image"):
            function(None, value)
    for function in (app.answer, app.classify, app.explain):
        with pytest.raises(ShownError, match="write something"):
            function(image, " , ")
    with pytest.raises(ShownError, match="red"):
        app.classify(image, "red, red")


def test_the_space_has_requirements_of_its_own():
    text = (ROOT / "examples" / "space" / "requirements.txt").read_text(encoding="utf-8")
    [version] = re.findall(r"^gradio==([0-9.]+)$", text, re.MULTILINE)
    readme = (ROOT / "examples" / "space" / "README.md").read_text(encoding="utf-8")
    assert f"\nsdk_version: {version}\n" in readme
    assert "gradio" not in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
