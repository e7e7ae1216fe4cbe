"""Graphs of every form of model against the model itself, called as it is ordinarily called."""

import logging
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx_ir
import onnxruntime
import pytest
import torch
from torch import Tensor

from builders.models import roughened
from builders.unchecked_shapes import without_shape_checks
from sycoca.inference.onnx_export.check import INT8_TOLERANCE, TOLERANCE, check_graph
from sycoca.inference.onnx_export.graphs import Graph, graphs_of
from sycoca.inference.onnx_export.quantization import quantized
from sycoca.inference.onnx_export.readme import readme
from sycoca.inference.onnx_export.tensors import SharedTensors
from sycoca.inference.onnx_export.translation import translate
from sycoca.model.config import SyCoCaConfig
from sycoca.model.pooler_config import AttentionPoolerConfig
from sycoca.model.sycoca import SyCoCa

IMAGE_FORMS: list[dict[str, Any]] = [
    {"pooling": "mean"},
    {"pooling": "max"},
    {"pooling": "map"},
    {"position_embedding": "rotary"},
    *({"pooling": "attention", "kind": kind} for kind in ("single", "parallel", "cascade")),
]
TEXT_FORMS: list[dict[str, Any]] = [
    {"pooling": "mean"},
    {"pooling": "eos"},
    {"cls_mask": "shifted"},
    {"cls_mask": "shifted", "cls_position": "row_end"},
]
"""tests/cli/test_export.py has [CLS] in both encoders, CLIP's activation, ViT's norms, and captions."""


def some_slow(forms: list[dict[str, Any]], fast: set[int]) -> list[Any]:
    """Return the forms as parameters, slow but for those places: an export takes seconds."""
    return [form if place in fast else pytest.param(form, marks=pytest.mark.slow) for place, form in enumerate(forms)]


def model_of(config: SyCoCaConfig, image: dict[str, Any], text: dict[str, Any]) -> SyCoCa:
    """Return a model of one block each, so that exports are fast, with random values in every tensor."""
    pooler = AttentionPoolerConfig(kind=image.get("kind", "single"), num_queries=5, width=10, num_heads=2)
    of_image = {name: value for name, value in image.items() if name != "kind"}
    changed = replace(
        config,
        image_encoder=replace(config.image_encoder, depth=1, pooler=pooler, **of_image),
        text_encoder=replace(config.text_encoder, depth=1, **text),
    )
    return roughened(SyCoCa(changed)).eval()


def export(graph: Graph, folder: Path) -> onnxruntime.InferenceSession:
    tensors, file = SharedTensors(folder), folder / f"{graph.name}.onnx"
    with without_shape_checks():
        model = translate(graph)
    tensors.take_from(model)
    onnx_ir.save(model, file)
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


def computed(session: onnxruntime.InferenceSession, *inputs: Tensor) -> list[np.ndarray]:
    given = {port.name: values.numpy() for port, values in zip(session.get_inputs(), inputs, strict=True)}
    return [np.asarray(found) for found in session.run(None, given)]


def assert_same(found: np.ndarray, expected: Tensor) -> None:
    assert found.shape == expected.shape
    largest = max(1.0, float(expected.abs().max()))
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-4 * largest)


@pytest.mark.parametrize("form", some_slow(IMAGE_FORMS, {6}), ids=str)
@torch.no_grad()
def test_images_are_encoded_as_by_the_model(config: SyCoCaConfig, form: dict[str, Any], tmp_path: Path):
    model = model_of(config, form, {})
    session = export(graphs_of(model)[0], tmp_path)
    for batch in (1, 3, 9):
        images = torch.randn(batch, 3, 16, 16)
        encoded = model.encode_images(images)
        embeds, memory = computed(session, images)
        assert_same(embeds, encoded.image_embeds)
        assert_same(memory, model.memory(encoded))


@pytest.mark.parametrize("form", some_slow(TEXT_FORMS, {3}), ids=str)
@torch.no_grad()
def test_texts_are_encoded_as_by_the_model(config: SyCoCaConfig, form: dict[str, Any], tmp_path: Path):
    model = model_of(config, {}, form)
    session, longest = export(graphs_of(model)[1], tmp_path), config.text_encoder.context_length
    for lengths in ([2], [longest], [4, 2, 7], [longest, 3, longest - 1]):
        tokens = torch.randint(3, 30, (len(lengths), max(lengths)))
        is_padding = torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]
        # What fills a row up is nobody's business, be it id 0 or any other.
        expected = model.encode_texts(tokens.masked_fill(is_padding, 0), is_padding).text_embeds
        assert_same(computed(session, tokens, torch.tensor(lengths))[0], expected)


@torch.no_grad()
def test_in_int8_matrices_are_a_quarter_and_embeddings_nearly_the_same(
    config: SyCoCaConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    model = model_of(config, {}, {})
    graph, file = graphs_of(model)[1], tmp_path / "text_encoder.onnx"
    with without_shape_checks():
        plain = translate(graph)
    matrices = {name for name, value in plain.graph.initializers.items() if len(value.shape or ()) == 2}
    onnx_ir.save(quantized(graph, plain, tmp_path), file)
    assert list(tmp_path.iterdir()) == [file]  # the tensors are not beside it, and nothing else is left
    kept = onnx_ir.load(file).graph
    int8 = [value for value in kept.initializers.values() if value.dtype == onnx_ir.DataType.INT8]
    assert sum(len(value.shape or ()) == 2 for value in int8) >= 4
    assert any(node.op_type == "MatMulInteger" for node in kept)
    assert len(matrices & set(kept.initializers)) == 2  # token embedding and positions are looked up, not multiplied
    assert check_graph(graph, file, INT8_TOLERANCE) > TOLERANCE
    with pytest.raises(ValueError, match=r"text_encoder.onnx is not the model: its text_embeds differs"):
        check_graph(graph, file, TOLERANCE)
    with pytest.raises(ValueError, match=r"text_encoder.onnx is not the model: its text_embeds differs"):
        quantized(graphs_of(model_of(config, {}, {}))[1], plain, tmp_path)
    assert "pre-processing" not in caplog.text
    assert not logging.getLogger().filters


def test_embeddings_of_another_model_are_found_out_in_int8_too(config: SyCoCaConfig, monkeypatch: pytest.MonkeyPatch):
    """Each of the 512 values of a unit vector is so small that 0.25 is allowed between any two."""
    unit = [torch.nn.functional.normalize(torch.randn(4, 512), dim=1) for _ in range(2)]
    near = torch.nn.functional.normalize(unit[0] + 0.1 * unit[1], dim=1)
    whole = graphs_of(SyCoCa(replace(config, embed_dim=512)))[1]

    class Module(torch.nn.Module):
        def forward(self, _: list[Tensor]) -> tuple[Tensor, ...]:
            return (unit[0],)

    graph = replace(whole, module=Module())
    for other, is_found_out in ((near, False), (unit[1], True)):
        session = SimpleNamespace(run=lambda *_, other=other: [other.numpy()])
        monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, session=session, **__: session)
        with pytest.raises(ValueError, match="text_embeds differs") if is_found_out else nullcontext():
            assert check_graph(graph, Path("text_encoder.onnx"), INT8_TOLERANCE) == pytest.approx(0.05, abs=0.01)


def test_without_text_decoder_there_are_two_graphs_and_no_memory(config: SyCoCaConfig):
    graphs = graphs_of(SyCoCa(replace(config, text_decoder=None)))
    assert [graph.name for graph in graphs] == ["image_encoder", "text_encoder"]
    assert [port.name for port in graphs[0].outputs] == ["image_embeds"]
    (embeds,) = graphs[0].module([torch.randn(2, 3, 16, 16)])
    assert embeds.shape == (2, 10)
    assert "caption" not in readme(graphs)
    assert "sycoca_onnx.py caption" in readme(graphs_of(SyCoCa(config)))
    assert ", float32)." in readme(graphs)
    assert "matrices in int8, all else in float32)." in readme(graphs, int8=True)


def test_what_two_graphs_share_is_stored_once(tmp_path: Path):
    def graph_of(**arrays: np.ndarray) -> onnx_ir.Model:
        values = [onnx_ir.Value(name=name, const_value=onnx_ir.tensor(array)) for name, array in arrays.items()]
        graph = onnx_ir.Graph([], [], nodes=[], initializers=values, opset_imports={"": 23})
        return onnx_ir.Model(graph, ir_version=10)

    one, two = (np.random.default_rng(seed).normal(size=(30, 20)).astype(np.float32) for seed in range(2))
    tensors, small = SharedTensors(tmp_path), np.arange(5)
    for name, model in {"a": graph_of(x=one, y=two, small=small), "b": graph_of(other=two, same=one)}.items():
        tensors.take_from(model)
        onnx_ir.save(model, tmp_path / f"{name}.onnx")
    assert tensors.num_bytes == 4096 + 2400  # each at a multiple of 4096
    assert (tmp_path / "weights.bin").read_bytes()[4096:] == two.tobytes()
    for name, expected in {"a": {"x": one, "y": two, "small": small}, "b": {"other": two, "same": one}}.items():
        found = onnx_ir.load(tmp_path / f"{name}.onnx").graph.initializers
        assert found.keys() == expected.keys()
        for key, array in expected.items():
            np.testing.assert_array_equal(found[key].const_value.numpy(), array)
