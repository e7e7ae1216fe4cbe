import pytest
import torch

from sycoca.training.engine.numerics import autocast, choose_precision, half_dtype, scales_loss, set_matrix_products
from sycoca.training.engine.runtime import Runtime
from sycoca.training.runtime_config import RuntimeConfig

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_precision_of_auto_is_safe():
    assert choose_precision("auto", CPU) == "fp32"
    assert choose_precision("auto", torch.device("mps")) == "fp32"
    assert choose_precision("fp16", CPU) == "fp16"


@pytest.mark.parametrize(("is_supported", "expected"), [(True, "bf16"), (False, "fp16")])
def test_auto_on_a_gpu_is_bf16_where_that_is_supported(monkeypatch, is_supported: bool, expected: str):
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda: is_supported)
    assert choose_precision("auto", GPU) == expected


def test_a_forward_pass_computes_in_its_precision():
    matrix = torch.eye(2)
    for precision in ("fp32", "bf16", "fp16"):
        with autocast(precision, CPU):
            assert (matrix @ matrix).dtype == (half_dtype(precision) or torch.float32)
    assert [scales_loss(precision) for precision in ("fp32", "bf16", "fp16")] == [False, False, True]


def test_tf32_is_off_unless_a_run_on_a_gpu_asks_for_it(monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr("torch.set_float32_matmul_precision", asked.append)
    set_matrix_products(GPU, tf32=RuntimeConfig().tf32)
    set_matrix_products(GPU, tf32=True)
    set_matrix_products(CPU, tf32=True)
    assert asked == ["highest", "high"]


@pytest.mark.parametrize("tf32", [False, True])
def test_the_runtime_sets_what_its_config_says(monkeypatch, tf32: bool):
    asked: list[tuple[torch.device, bool]] = []
    monkeypatch.setattr(
        "sycoca.training.engine.runtime.set_matrix_products", lambda device, *, tf32: asked.append((device, tf32))
    )
    with Runtime(RuntimeConfig(device="cpu", tf32=tf32)):
        assert asked == [(CPU, tf32)]
