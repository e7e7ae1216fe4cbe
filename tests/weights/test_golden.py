"""Weights folders that were written by every released format go on loading and saying the same."""

import json
from pathlib import Path

import numpy as np
import pytest

from builders.golden import GOLDEN, said
from sycoca.inference.load import load
from sycoca.weights.config import FORMAT_VERSION
from sycoca.weights.verification import verify_weights

FOLDERS = sorted(GOLDEN.glob("format-*/*"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_a_released_model_goes_on_saying_the_same(folder: Path):
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    found = said(load(folder / "weights", device="cpu"))
    assert expected.keys() <= found.keys()
    for name, values in expected.items():
        if isinstance(values[0], str):
            assert found[name] == values, name
        else:
            # A rounded color may be one level off on another processor.
            tolerance = 1 if name.endswith("_levels") else 1e-5
            np.testing.assert_allclose(found[name], values, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_a_golden_folder_is_sound_and_of_its_format(folder: Path):
    verify_weights(folder / "weights")
    version = json.loads((folder / "weights" / "config.json").read_text(encoding="utf-8"))["format_version"]
    assert folder.parent.name == f"format-{version}"


def test_every_format_has_golden_weights():
    written = {folder.parent.name for folder in FOLDERS}
    assert written == {f"format-{version}" for version in range(1, FORMAT_VERSION + 1)}
