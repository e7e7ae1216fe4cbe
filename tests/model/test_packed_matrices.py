import copy
import gc
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from sycoca.inference.captioning import generate_captions
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.model import packed_matrices
from sycoca.model.config import SyCoCaConfig
from sycoca.model.linear import Linear
from sycoca.model.packed_matrices import PackedMatrices
from sycoca.model.products import multiplies_bfloat16
from sycoca.model.sycoca import SyCoCa
from sycoca.preprocess.tokenizer import SpecialTokens

WIDTH = 384


@pytest.fixture(autouse=True)
def _on_amd(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packed_matrices, "prefers_onednn", lambda: True)


def num_packed(linear: Linear, num_rows: int) -> int:
    matrices = PackedMatrices([linear], num_rows)
    with matrices.in_use():
        return int(linear.packed is not None)


@torch.no_grad()
@pytest.mark.parametrize("shape", [(1,), (12,), (3, 5), (60, 1)])
@pytest.mark.parametrize("bias", [True, False])
def test_products_are_those_of_the_plain_matrix(shape: tuple[int, ...], bias: bool):
    layer, x = Linear(WIDTH, WIDTH, bias=bias), torch.randn(*shape, WIDTH)
    expected = layer(x)
    with PackedMatrices([layer], num_rows=24).in_use():
        assert layer.packed is not None
        torch.testing.assert_close(layer(x), expected)
    assert layer.packed is None


def test_after_an_error_layers_are_plain_again():
    layer = Linear(WIDTH, WIDTH)
    with pytest.raises(RuntimeError), PackedMatrices([layer], num_rows=24).in_use():
        layer(torch.randn(2, 3))
    assert layer.packed is None


def test_a_layer_asks_once_for_its_packed_matrix(monkeypatch: pytest.MonkeyPatch):
    """Another thread that decodes with the same model may end its use at any time."""
    layer, x = Linear(WIDTH, WIDTH), torch.randn(3, WIDTH)
    answers = [None, packed_matrices._packed(layer.weight)]
    monkeypatch.setattr(Linear, "packed", property(lambda _: answers.pop()), raising=False)
    torch.testing.assert_close(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))
    assert answers == [None]


def test_what_gains_nothing_is_not_packed(monkeypatch: pytest.MonkeyPatch):
    layer = Linear(WIDTH, WIDTH)
    assert num_packed(layer, 12) == 1
    assert num_packed(layer, 11) == 0
    assert num_packed(Linear(WIDTH, 16), 12) == 0
    assert num_packed(Linear(WIDTH, WIDTH).double(), 12) == 0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert num_packed(layer, 12) == 0
    int8 = Linear(WIDTH, WIDTH)
    int8.quantize()
    assert num_packed(int8, 12) == 0
    monkeypatch.setattr(packed_matrices, "prefers_onednn", lambda: False)
    assert num_packed(layer, 12) == 0


@pytest.mark.skipif(not multiplies_bfloat16(), reason="the processor does not multiply bfloat16")
@torch.no_grad()
def test_in_bfloat16_a_single_row_gains_too():
    layer, x = Linear(WIDTH, WIDTH).bfloat16(), torch.randn(1, WIDTH).bfloat16()
    expected = layer(x)
    with PackedMatrices([layer], num_rows=1).in_use():
        assert layer.packed is not None
        torch.testing.assert_close(layer(x), expected)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry per matrix that is packed."""
    entries: list[int] = []
    pack: Callable[[torch.Tensor], torch.Tensor] = packed_matrices._packed
    monkeypatch.setattr(packed_matrices, "_packed", lambda weight: entries.append(1) or pack(weight))
    return entries


def _in_place(layer: Linear) -> None:
    layer.weight[3] = 0


def _without_trace(layer: Linear) -> None:
    layer.weight.data[5, 7] *= 2  # no version, no other row


def _as_new_parameter(layer: Linear) -> None:
    layer.weight = Linear(WIDTH, WIDTH).weight


def _loaded(layer: Linear) -> None:
    layer.load_state_dict(Linear(WIDTH, WIDTH).state_dict())


@torch.no_grad()
@pytest.mark.parametrize("change", [_in_place, _without_trace, _as_new_parameter, _loaded])
def test_a_matrix_is_packed_anew_when_its_weight_has_changed(change: Callable[[Linear], None], made: list[int]):
    layer, x = Linear(WIDTH, WIDTH), torch.randn(24, WIDTH)
    for expected in (1, 1, 2, 2):
        if expected > len(made) > 0:
            change(layer)
        with PackedMatrices([layer], num_rows=24).in_use():
            torch.testing.assert_close(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))
        assert len(made) == expected


def test_weights_made_in_inference_mode_are_packed_once(made: list[int]):
    with torch.inference_mode():
        layer = Linear(WIDTH, WIDTH)
        assert [num_packed(layer, 24), num_packed(layer, 24)] == [1, 1]
    assert len(made) == 1


def test_matrices_are_freed_with_their_model_and_before_training(config: SyCoCaConfig):
    model = SyCoCa(replace(config, text_encoder=replace(config.text_encoder, width=WIDTH))).eval()
    layers = [layer for layer in model.modules() if isinstance(layer, Linear)]
    PackedMatrices(layers, num_rows=24)
    assert packed_matrices._COPIES
    copied = copy.deepcopy(model)
    assert not any(layer in packed_matrices._COPIES for layer in copied.modules())
    model.eval()
    assert packed_matrices._COPIES
    model.train()
    assert not any(layer in packed_matrices._COPIES for layer in layers)
    PackedMatrices(layers, num_rows=24)
    num_kept = len(packed_matrices._COPIES)
    del model, layers
    gc.collect()
    assert len(packed_matrices._COPIES) < num_kept


@torch.no_grad()
@pytest.mark.parametrize("beams", [1, 4])
def test_captions_are_the_same(config: SyCoCaConfig, beams: int, made: list[int], monkeypatch: pytest.MonkeyPatch):
    """Matrices are packed once for all tokens and batches; images that finish early leave fewer rows."""
    wide = replace(config, text_encoder=replace(config.text_encoder, width=WIDTH))
    model, special = SyCoCa(wide).eval(), SpecialTokens(pad_id=0, bos_id=1, eos_id=2)
    memory = model.memory(model.encode_images(torch.randn(12, 3, 16, 16)))

    def captions() -> list[tuple[int, ...]]:
        generated = generate_captions(model, memory, special, GenerationConfig(num_beams=beams, max_tokens=6))
        return [caption.tokens for caption in generated]

    packed, num_made = captions(), len(made)
    assert captions() == packed
    assert len(made) == num_made
    blocks = [*model.text_encoder.blocks, *model.text_decoder.self_blocks, *model.text_decoder.cross_blocks]
    assert 2 * len(blocks) <= num_made <= 5 * len(blocks) + 1
    monkeypatch.setattr(packed_matrices, "prefers_onednn", lambda: False)
    assert captions() == packed
    assert len(made) == num_made
