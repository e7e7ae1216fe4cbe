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


@torch.no_grad()
@pytest.mark.parametrize("beams", [1, 4])
def test_captions_are_the_same(config: SyCoCaConfig, beams: int, monkeypatch: pytest.MonkeyPatch):
    """Matrices are packed once for all tokens; images that finish early leave fewer rows."""
    wide = replace(config, text_encoder=replace(config.text_encoder, width=WIDTH))
    model, special = SyCoCa(wide).eval(), SpecialTokens(pad_id=0, bos_id=1, eos_id=2)
    memory = model.memory(model.encode_images(torch.randn(12, 3, 16, 16)))
    made: list[int] = []
    pack: Callable[[torch.Tensor], torch.Tensor] = packed_matrices._packed
    monkeypatch.setattr(packed_matrices, "_packed", lambda weight: made.append(1) or pack(weight))

    def captions() -> list[tuple[int, ...]]:
        generated = generate_captions(model, memory, special, GenerationConfig(num_beams=beams, max_tokens=6))
        return [caption.tokens for caption in generated]

    packed, num_made = captions(), len(made)
    blocks = [*model.text_encoder.blocks, *model.text_decoder.self_blocks, *model.text_decoder.cross_blocks]
    assert 2 * len(blocks) <= num_made <= 5 * len(blocks) + 1
    monkeypatch.setattr(packed_matrices, "prefers_onednn", lambda: False)
    assert captions() == packed
    assert len(made) == num_made
