import json
import logging
from pathlib import Path

import pytest
import torch

from sycoca.model import automatic_precision as module
from sycoca.model.automatic_precision import VARIABLE, Bfloat16Gain, automatic_precision, bfloat16_gain

GAIN = Bfloat16Gain(training=1.7, inference=1.05, measured_on="2026-11-30")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path) -> list[Bfloat16Gain]:
    """A machine that multiplies bfloat16, with an empty cache folder; the list counts measurements."""
    done: list[Bfloat16Gain] = []

    def measure() -> Bfloat16Gain:
        done.append(GAIN)
        return GAIN

    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "multiplies_bfloat16", lambda: True)
    monkeypatch.setattr(module, "_measured", measure)
    return done


def test_auto_is_bf16_where_it_pays(measured, caplog):
    with caplog.at_level(logging.INFO, "sycoca"):
        assert automatic_precision("training") == "bf16"
    assert "auto is bf16: 1.7 times as fast as fp32 here in training, measured on 2026-11-30" in caplog.text
    assert automatic_precision("inference") == "fp32"
    assert len(measured) == 1


def test_the_measurement_is_kept_for_the_machine_and_its_threads(measured):
    before = torch.get_num_threads()
    assert bfloat16_gain() == bfloat16_gain() == GAIN
    assert len(measured) == 1
    torch.set_num_threads(before + 1)
    try:
        bfloat16_gain()
    finally:
        torch.set_num_threads(before)
    assert len(measured) == 2
    assert bfloat16_gain() == GAIN
    assert len(measured) == 2
    bfloat16_gain(remeasures=True)
    assert len(measured) == 3


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"x": 1}',
        '{"x": {"speed": 2}}',
        "\x00",
        "[" * 100_000,
        '{"MACHINE": {"training": "1.7", "inference": 1.0, "measured_on": "2026-11-30"}}',
        '{"MACHINE": {"training": null, "inference": 1.0, "measured_on": "2026-11-30"}}',
        '{"MACHINE": {"training": NaN, "inference": 1.0, "measured_on": "2026-11-30"}}',
        '{"MACHINE": {"training": Infinity, "inference": 1.0, "measured_on": "2026-11-30"}}',
        '{"MACHINE": {"training": -2, "inference": 1.0, "measured_on": "2026-11-30"}}',
    ],
)
def test_a_damaged_file_is_replaced(measured, content):
    bfloat16_gain()
    module._file().write_text(content.replace("MACHINE", module._machine()))
    assert automatic_precision("inference") == "fp32"
    assert bfloat16_gain() == GAIN
    assert len(measured) == 2
    assert list(json.loads(module._file().read_text())) == [module._machine()]


def test_a_folder_that_cannot_be_written_costs_a_measurement_each_time(measured, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert bfloat16_gain() == bfloat16_gain() == GAIN
    assert len(measured) == 2


def test_without_a_home_folder_it_is_measured_each_time(measured, monkeypatch):
    """As in containers whose user has no entry of passwd."""
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", raise_no_home)
    assert bfloat16_gain() == bfloat16_gain() == GAIN
    assert len(measured) == 2


def raise_no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_a_processor_that_does_not_multiply_bfloat16_is_not_measured(measured, monkeypatch):
    monkeypatch.setattr(module, "multiplies_bfloat16", lambda: False)
    assert automatic_precision("training") == "fp32"
    assert bfloat16_gain(remeasures=True) is None
    assert measured == []


def test_the_environment_decides_without_a_measurement(measured, monkeypatch):
    monkeypatch.setenv(VARIABLE, "bf16")
    assert automatic_precision("inference") == "bf16"
    monkeypatch.setenv(VARIABLE, "half")
    with pytest.raises(ValueError, match="SYCOCA_AUTO_PRECISION is 'half'; set it to fp32 or bf16"):
        automatic_precision("training")
    assert measured == []


def test_a_measurement_takes_both_uses_and_leaves_the_random_numbers_alone():
    before = torch.random.get_rng_state()
    gain = module._measured()
    assert gain.training > 0
    assert gain.inference > 0
    assert torch.equal(torch.random.get_rng_state(), before)
