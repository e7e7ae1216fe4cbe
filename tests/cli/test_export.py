"""A model exported by the command: what is in the folder, and what its script does without PyTorch."""

import contextlib
import io
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx_ir
import onnxruntime
import pytest
import torch

from builders.predictors import photos, small_predictor
from builders.unchecked_shapes import without_shape_checks
from sycoca.cli.command_line import run
from sycoca.cli.main import main
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.load import load
from sycoca.inference.onnx_export import folder as folder_module
from sycoca.inference.onnx_export import requirements
from sycoca.inference.onnx_export.folder import export_onnx
from sycoca.inference.onnx_export.sycoca_onnx import Model
from sycoca.inference.predictor import Predictor
from sycoca.weights.folder import save_weights

TEXTS = ["a red circle", "there is a blue square to the left of a green cross", "<pad> 😀\n TWO  lines", "x " * 40, ""]

GRAPHS = ("image_encoder", "text_encoder", "caption_prefill", "caption_step")

WITHOUT_TORCH = "import runpy, sys; sys.modules['torch'] = sys.modules['sycoca'] = None; "
RUN_SCRIPT = WITHOUT_TORCH + "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"


@dataclass(frozen=True, kw_only=True)
class Exported:
    folder: Path
    predictor: Predictor
    said: str


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Export a model with [CLS] in both encoders, in the form of CLIP and ViT where the other tests have our own."""
    base = tmp_path_factory.mktemp("export")
    config = small_predictor().config.model
    image = replace(config.image_encoder, activation="quick_gelu", has_norm_pre=False, norm_eps=1e-3, norms_memory=True)
    text = replace(config.text_encoder, activation="quick_gelu")
    with torch.random.fork_rng():
        torch.manual_seed(6)
        predictor = small_predictor(model_image_encoder=image, model_text_encoder=text)
    assert predictor.model.text_decoder is not None
    # Padding, bos and eos are often the likeliest, so that it matters who may be generated when.
    predictor.model.text_decoder.vocabulary.weight.data[:3] *= 2
    save_weights(base / "weights", predictor.model.float(), predictor.tokenizer, predictor.config)
    said = io.StringIO()
    with without_shape_checks(), contextlib.redirect_stderr(said):
        assert main(["export", str(base / "weights"), "--out", str(base / "onnx")]) == 0
    for number, picture in enumerate(photos(12)):
        picture.save(base / f"{number}.png")
    return Exported(folder=base / "onnx", predictor=load(base / "weights", device="cpu"), said=said.getvalue())


def pictures(exported: Exported) -> list[Path]:
    return [exported.folder.parent / f"{number}.png" for number in range(12)]


@dataclass(frozen=True, kw_only=True)
class Done:
    code: int
    out: str
    err: str


def run_script(exported: Exported, *arguments: str | Path) -> Done:
    command = [sys.executable, "-W", "error", "-c", RUN_SCRIPT, exported.folder / "sycoca_onnx.py", *arguments]
    done = subprocess.run([str(part) for part in command], capture_output=True, check=False)
    # Decoded here: text mode would take captions' odd bytes for line ends.
    return Done(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())


def test_it_says_what_it_has_done(exported: Exported):
    lines = exported.said.splitlines()
    for line, name in zip(lines, GRAPHS, strict=False):
        assert line.startswith(f"{name}.onnx: ")
        assert " operations (" in line
    assert lines[4] == "weights.bin: 0.5 MiB"
    assert lines[5].startswith("largest difference between PyTorch and onnxruntime: ")
    assert lines[5].endswith(" (0.0001 is allowed)")
    assert lines[6:] == [f"ONNX graphs and sycoca_onnx.py in {exported.folder}"]


def test_the_folder_has_all_that_is_needed_and_nothing_of_this_machine(exported: Exported):
    names = {*(f"{name}.onnx" for name in GRAPHS), "weights.bin", "tokenizer.json", "config.json", "README.md"}
    assert {path.name for path in exported.folder.iterdir()} == {*names, "sycoca_onnx.py"}
    for path in exported.folder.glob("*.onnx"):
        assert b".py" not in path.read_bytes(), path
    config = json.loads((exported.folder / "config.json").read_text())
    text = (exported.folder / "README.md").read_text()
    for graph, ports in config["graphs"].items():
        session = onnxruntime.InferenceSession(exported.folder / f"{graph}.onnx", providers=["CPUExecutionProvider"])
        for side, found in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
            assert [(port["name"], port["shape"]) for port in ports[side]] == [
                (port.name, port.shape) for port in found
            ]
        for name in (port["name"].rstrip("0123456789") for side in ports.values() for port in side):
            assert f"`{name}" in text


@pytest.mark.slow
def test_in_int8_its_captions_and_embeddings_are_nearly_the_same(exported: Exported):
    base, said = exported.folder.parent, io.StringIO()
    with without_shape_checks(), contextlib.redirect_stderr(said):
        assert main(["export", str(base / "weights"), "--int8", "--out", str(base / "int8")]) == 0
    assert said.getvalue().splitlines()[5].endswith(" (0.25 is allowed)")
    assert (base / "int8" / "weights.bin").stat().st_size < 0.6 * (exported.folder / "weights.bin").stat().st_size
    plain, int8 = Model(exported.folder), Model(base / "int8")
    files = pictures(exported)
    assert (plain.embed_images(files) * int8.embed_images(files)).sum(1).min() > 0.99
    assert (plain.embed_texts(TEXTS) * int8.embed_texts(TEXTS)).sum(1).min() > 0.99
    assert len(int8.caption(files)) == len(files)
    assert "matrices in int8" in (base / "int8" / "README.md").read_text()


def test_tensors_are_stored_once(exported: Exported):
    parts = [exported.predictor.model.image_encoder, exported.predictor.model.text_encoder]
    parts.append(exported.predictor.model.text_decoder)
    large = [tensor.nbytes for part in parts for tensor in part.state_dict().values() if tensor.nbytes >= 1024]
    # Keys' and values' weights with their norms in them are further ones, should the exporter multiply beforehand.
    assert sum(large) <= (exported.folder / "weights.bin").stat().st_size <= 1.1 * sum(large)
    offsets = [
        onnx_ir.load(exported.folder / f"{graph}.onnx").graph.initializers["text_encoder.token_embedding.weight"]
        for graph in ("text_encoder", "caption_step")
    ]
    assert offsets[0].const_value.offset == offsets[1].const_value.offset


@torch.no_grad()
def test_steps_compute_what_training_computes_of_all_tokens_at_once(exported: Exported):
    model, script = exported.predictor.model, Model(exported.folder)
    for batch, length in ((1, 28), (3, 6), (9, 2)):
        pixels, tokens = torch.randn(batch, 3, 32, 32), torch.randint(3, 300, (batch, length))
        memory = model.memory(model.encode_images(pixels))
        states = model.encode_texts(tokens, torch.zeros_like(tokens, dtype=torch.bool)).token_states
        expected = model.vocabulary_logits(model.caption_states(states, memory))
        of_image = script._run("caption_prefill", memory=script._run("image_encoder", pixels=pixels.numpy())["memory"])
        caches = {
            f"past_{part}_{layer}": np.zeros((batch, 2, 0, 16), np.float32)
            for layer in range(4)
            for part in ("keys", "values")
        }
        for place in range(length):
            found = script._run("caption_step", token=tokens[:, place : place + 1].numpy(), **of_image, **caches)
            largest = max(1.0, float(expected[:, place].abs().max()))
            np.testing.assert_allclose(found["logits"], expected[:, place].numpy(), rtol=0, atol=1e-4 * largest)
            caches = {name: found[name.replace("past", "present")] for name in caches}


@pytest.mark.parametrize("options", [{}, {"max_tokens": 5}, {"min_tokens": 12}, {"min_tokens": 0}, {"batch_size": 5}])
def test_captions_are_those_of_the_predictor(exported: Exported, options: dict[str, int]):
    expected = exported.predictor.caption(pictures(exported), **options)
    assert Model(exported.folder).caption(pictures(exported), **options) == expected
    assert len(set(expected)) >= 6


def test_these_captions_end_at_different_places(exported: Exported):
    generated = exported.predictor.generate(pictures(exported), GenerationConfig())
    assert len({len(caption.tokens) for caption in generated if caption.is_complete}) >= 4


def test_embeddings_are_those_of_the_predictor(exported: Exported):
    script, predictor = Model(exported.folder), exported.predictor
    images = script.embed_images(pictures(exported), batch_size=5)
    np.testing.assert_allclose(images, predictor.embed_images(pictures(exported)).numpy(), atol=1e-5)
    texts = script.embed_texts(TEXTS, batch_size=2)
    np.testing.assert_allclose(texts, predictor.embed_texts(TEXTS).numpy(), atol=1e-5)
    assert images.dtype == texts.dtype == np.float32


def test_empty_lists_and_iterators(exported: Exported):
    script = Model(exported.folder)
    assert script.caption([]) == []
    for found in (script.embed_images([]), script.embed_texts([])):
        assert (found.shape, found.dtype) == ((0, exported.predictor.model.config.embed_dim), np.float32)
    np.testing.assert_array_equal(
        script.embed_images(iter(pictures(exported))), script.embed_images(pictures(exported))
    )


def test_the_script_needs_neither_torch_nor_sycoca(exported: Exported, tmp_path: Path):
    paths = pictures(exported)
    done = run_script(exported, "caption", *paths, "--max-tokens", "9")
    captions = exported.predictor.caption(paths, max_tokens=9)
    assert (done.code, done.err) == (0, "")
    assert done.out == "".join(f"{path}: {caption}\n" for path, caption in zip(paths, captions, strict=True))
    done = run_script(exported, "embed", "--images", *paths, "--texts", *TEXTS, "--out", tmp_path / "vectors")
    assert (done.code, done.err) == (0, f"12 images, 5 texts in {tmp_path / 'vectors'}\n")
    vectors = np.load(tmp_path / "vectors")
    np.testing.assert_allclose(vectors["images"], exported.predictor.embed_images(paths).numpy(), atol=1e-5)
    np.testing.assert_allclose(vectors["texts"], exported.predictor.embed_texts(TEXTS).numpy(), atol=1e-5)
    done = run_script(exported, "similarity", "--images", *paths[:2], "--texts", *TEXTS[:2])
    cosines = exported.predictor.similarity(paths[:2], TEXTS[:2])
    rows = [line.split("\t") for line in done.out.splitlines()]
    assert [row[1:] for row in rows] == [[str(path), text] for path in paths[:2] for text in TEXTS[:2]]
    np.testing.assert_allclose([float(row[0]) for row in rows], cosines.flatten().numpy(), atol=1e-4)


def test_the_scripts_errors_are_one_line(exported: Exported, tmp_path: Path):
    done = run_script(exported, "caption", tmp_path / "lost.jpg")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"sycoca_onnx: {tmp_path / 'lost.jpg'} cannot be read as an image: ")
    assert done.err.count("\n") == 1
    done = run_script(exported, "--model", tmp_path, "embed")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "config.json" in done.err
    assert run_script(exported, "embed").err == "sycoca_onnx: give --images, --texts or both\n"


def test_a_former_export_is_replaced_only_by_one_that_is_right(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copytree(exported.folder, tmp_path / "onnx")
    graphs = folder_module.graphs_of(exported.predictor.model)[1:2]
    monkeypatch.setattr(folder_module, "graphs_of", lambda _: graphs)
    monkeypatch.setattr(folder_module, "translate", lambda _: onnx_ir.load(exported.folder / "text_encoder.onnx"))
    bias = exported.predictor.model.text_encoder.norm_final.bias
    with monkeypatch.context() as context, torch.no_grad():
        context.setattr(bias, "data", bias + 1)
        with pytest.raises(ValueError, match=r"text_encoder\.onnx is not the model: its text_embeds differs by 0\.\d"):
            export_onnx(exported.predictor, tmp_path / "onnx", overwrite=True)
        context.setattr(bias, "data", bias * torch.nan)
        with pytest.raises(ValueError, match="differs by nan where"):
            export_onnx(exported.predictor, tmp_path / "onnx", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["onnx"]
    assert (tmp_path / "onnx" / "caption_step.onnx").exists()
    with pytest.raises(ValueError, match="onnx is there already; --overwrite replaces it, or choose another name"):
        export_onnx(exported.predictor, tmp_path / "onnx")
    assert export_onnx(exported.predictor, tmp_path / "onnx", overwrite=True) < 1e-5
    assert not (tmp_path / "onnx" / "caption_step.onnx").exists()
    with pytest.raises(ValueError, match="this model has no text decoder"):
        Model(tmp_path / "onnx").caption(pictures(exported))


def test_what_cannot_be_exported_is_told(exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    weights = exported.folder.parent / "weights"
    (tmp_path / "a.txt").touch()
    with pytest.raises(
        ValueError,
        match=r"is not a folder of an exported model \(a.txt would be deleted\); choose another name",
    ):
        run(["export", str(weights), "--out", str(tmp_path)])
    with pytest.raises(ValueError, match="weights would replace what it is made from"):
        run(["export", str(weights), "--out", str(weights)])
    with pytest.raises(ValueError, match=r"only models in float32 on the CPU are exported, \w+ is torch.bfloat16"):
        export_onnx(load(weights, device="cpu", dtype="bfloat16"), tmp_path / "onnx")
    monkeypatch.setattr(requirements, "_OLDEST_TORCH", (99, 1))
    with pytest.raises(ValueError, match=r"needs PyTorch 99.1 or newer, this is \d+\.\d+"):
        run(["export", str(weights), "--out", str(tmp_path / "onnx")])
    monkeypatch.setattr(requirements, "_PACKAGES", ("onnx", "not_there", "nor_this"))
    with pytest.raises(ValueError, match=r"needs not_there, nor_this: pip install 'sycoca\[export\]'"):
        run(["export", str(weights), "--out", str(tmp_path / "onnx")])
    assert not (tmp_path / "onnx").exists()
