import platform
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sycoca.model import products
from sycoca.model.linear import Linear
from sycoca.model.transformer import layer_norm

LARGE = 300, 256, 320
"""Rows, inputs and outputs of a product that is worth it."""


@pytest.fixture(params=[True, False], ids=["AMD", "other"])
def prefers_onednn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(products, "prefers_onednn", lambda: request.param)
    return request.param


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the ways that are taken, in order."""
    names: list[str] = []

    def spied(name: str, way: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda *arguments: names.append(name) or way(*arguments)

    monkeypatch.setattr(F, "linear", spied("mkl", F.linear))
    monkeypatch.setattr(products, "_transposed", spied("transposed", products._transposed))
    monkeypatch.setattr(products, "onednn_product", spied("onednn", products.onednn_product))
    return names


def results(layer: Linear, x: Tensor) -> list[Tensor]:
    """Return the output, and the gradients of the input and of all parameters."""
    norm, x = layer_norm(x.shape[-1]), x.clone().requires_grad_()
    out = layer(x)
    if layer.bias is not None:
        out = out + layer.after_norm(norm, x) + layer.after_activation("gelu", x)
    grads = torch.autograd.grad((out * torch.linspace(-1, 1, out.shape[-1])).sum(), [x, *layer.parameters()])
    return [out.detach(), *grads]


@pytest.mark.usefixtures("prefers_onednn")
@pytest.mark.parametrize("bias", [True, False])
def test_outputs_and_gradients_are_those_of_pytorch(bias: bool, monkeypatch: pytest.MonkeyPatch):
    rows, inputs, outputs = LARGE
    layer, x = Linear(inputs, outputs, bias=bias), torch.randn(2, rows // 2, inputs)
    found = results(layer, x)
    monkeypatch.setattr(products, "_is_faster_in_onednn", lambda *_: False)
    for own, expected in zip(found, results(layer, x), strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.usefixtures("prefers_onednn")
def test_a_frozen_weight_gets_no_gradient():
    rows, inputs, outputs = LARGE
    layer, x = Linear(inputs, outputs), torch.randn(rows, inputs)
    layer.weight.requires_grad_(False)
    layer(x).sum().backward()
    assert layer.weight.grad is None
    assert layer.bias.grad is not None


@pytest.mark.parametrize("has_grad", [True, False])
def test_large_products_are_onednns_on_amd(prefers_onednn: bool, called: list[str], has_grad: bool):
    rows, inputs, outputs = LARGE
    with torch.set_grad_enabled(has_grad):
        Linear(inputs, outputs)(torch.randn(rows, inputs))
    assert called == ["onednn" if prefers_onednn else "mkl"]


@pytest.mark.usefixtures("prefers_onednn")
@pytest.mark.parametrize("num_rows", [1, 2, 11, 16, 48])
def test_few_rows_are_transposed_without_gradients(called: list[str], num_rows: int):
    layer, x = Linear(20, 30), torch.randn(num_rows, 20)
    layer(x)
    with torch.no_grad():
        layer(x)
        layer(torch.randn(49, 20))
    assert called == ["mkl", "transposed", "mkl"]


@torch.no_grad()
def test_from_twelve_rows_large_matrices_are_onednns(called: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(products, "prefers_onednn", lambda: True)
    layer = Linear(1024, 2048, bias=False)
    for num_rows in (11, 12, 48):
        layer(torch.randn(num_rows, 1024))
    assert called == ["transposed", "onednn", "onednn"]


def test_other_types_are_left_to_pytorch(called: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(products, "prefers_onednn", lambda: True)
    rows, inputs, outputs = LARGE
    layer, x = Linear(inputs, outputs), torch.randn(rows, inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    layer.double()(x.double())
    assert called == ["mkl", "mkl"]


@pytest.mark.parametrize(
    ("text", "capability", "expected"),
    [
        ("vendor_id : AuthenticAMD", "AVX512", True),
        ("vendor_id : AuthenticAMD", "AVX2", False),
        ("vendor_id : GenuineIntel", "AVX512", False),
    ],
)
def test_the_processor_decides(text: str, capability: str, expected: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(products, "_processor", lambda: text)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert products.prefers_onednn.__wrapped__() is expected


@pytest.mark.parametrize(("machine", "has_onednn"), [("arm64", True), ("x86_64", False)])
def test_bfloat16_needs_x86_and_onednn(machine: str, has_onednn: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: has_onednn)
    assert not products.multiplies_bfloat16.__wrapped__()
