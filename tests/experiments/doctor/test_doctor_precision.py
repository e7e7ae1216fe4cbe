from types import SimpleNamespace

import pytest
import torch

from sycoca.experiments.doctor import precision
from sycoca.experiments.doctor.precision import Comparison, compared
from sycoca.model.automatic_precision import Bfloat16Gain

CPU = torch.device("cpu")
GAIN = Bfloat16Gain(training=1.75, inference=1.4, measured_on="2026-11-30")


@pytest.mark.parametrize(
    ("fp32", "bf16", "said"),
    [
        ([2.0, 2.2, 2.4], [1.0, 1.0, 1.0], "bf16 is 2.20 times (2.00 to 2.40) as fast as fp32"),
        ([1.0, 1.0, 1.0], [3.0, 4.0, 3.0], "bf16 takes 3.00 times (3.00 to 4.00) as long as fp32"),
        # One round of noise in favor of the other precision, and nothing is claimed.
        ([2.0, 2.0, 0.9], [1.0, 1.0, 1.0], "no clear difference: bf16 is 2.00 times (0.90 to 2.00) as fast as fp32"),
        ([1.05, 1.05], [1.0, 1.0], "no clear difference: bf16 is 1.05 times (1.05 to 1.05) as fast as fp32"),
    ],
)
def test_a_precision_pays_where_all_rounds_agree(fp32, bf16, said):
    assert Comparison(fp32=fp32, bf16=bf16).conclusion == said


def test_noise_is_how_much_the_same_work_varies():
    assert Comparison(fp32=[1.0, 1.1], bf16=[2.0, 5.0]).noise == 2.5


def test_calls_take_turns_after_a_warm_up():
    called = []
    found = compared({name: lambda name=name: called.append(name) for name in ("fp32", "bf16")}, CPU)
    assert called == ["fp32", "bf16"] * (precision.NUM_ROUNDS + 1)
    assert len(found.fp32) == len(found.bf16) == precision.NUM_ROUNDS


def test_noise_is_remarked(monkeypatch):
    monkeypatch.setattr(precision, "small_model", lambda _runtime: SimpleNamespace(update=lambda: 0.0))
    monkeypatch.setattr(precision, "bfloat16_gain", lambda **_: GAIN)
    quiet, busy = Comparison(fp32=[1.0, 1.0], bf16=[2.0, 2.0]), Comparison(fp32=[1.0, 4.0], bf16=[1.0, 1.0])
    for comparison, states in ((quiet, ["good"] * 5), (busy, ["good"] * 5 + ["note"])):
        monkeypatch.setattr(precision, "compared", lambda *_, comparison=comparison: comparison)
        section = precision.precision(CPU)
        assert [one.state for one in section.findings] == states
    assert section.findings[5].value == "the same work took up to 4.0 times as long in another round"
    assert section.findings[2].value.startswith(
        "bf16 is 1.75 times as fast as fp32 in training, 1.40 times at inference"
    )
    assert section.findings[3].value.startswith("fp32 for training")
    assert section.findings[4].value.startswith("products of captions are ")
