from pathlib import Path

import pytest
import torch

from builders.predictors import photos, save_small_weights, small_predictor
from sycoca.inference.load import choose_device, load, torch_dtype
from sycoca.inference.model_options import DeviceOptions
from sycoca.inference.onnx_export.folder import export_onnx
from sycoca.model.image_encoder import ImageEncoder
from sycoca.model.text_encoder import TextEncoder
from sycoca.weights.folder import save_weights


@pytest.fixture
def folder(tmp_path):
    predictor = small_predictor()
    save_weights(tmp_path / "weights", predictor.model.float(), predictor.tokenizer, predictor.config)
    return tmp_path / "weights"


def test_loads_what_was_saved(folder):
    predictor = load(folder, device="cpu")
    torch.testing.assert_close(
        predictor.embed_images(photos(2)), small_predictor_float().embed_images(photos(2)), rtol=0, atol=0
    )
    assert not predictor.model.training


def small_predictor_float():
    with torch.random.fork_rng():
        torch.manual_seed(20260101)
        predictor = small_predictor()
    predictor.model.float()
    return predictor


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_weights_take_the_type_that_is_asked_for(folder, name: str):
    predictor = load(folder, device="cpu", dtype=name)
    assert {parameter.dtype for parameter in predictor.model.parameters()} == {getattr(torch, name)}
    assert predictor.embed_texts(["a red circle"]).dtype == torch.float32


def test_in_int8_it_embeds_and_captions_nearly_the_same(folder):
    plain, int8 = load(folder, device="cpu"), load(folder, device="cpu", dtype="int8")
    for find in (lambda one: one.embed_images(photos(8)), lambda one: one.embed_texts(["a red circle", "a dog"])):
        assert (find(plain) * find(int8)).sum(1).min() > 0.995
        assert not torch.equal(find(plain), find(int8))
    told = [one.caption_log_likelihood(photos(8), ["a red circle"] * 8, per_token=True) for one in (plain, int8)]
    torch.testing.assert_close(told[1], told[0], rtol=0.05, atol=0.05)
    assert all(len(list(int8.caption(photos(3), num_beams=beams))) == 3 for beams in (1, 3))


def test_in_int8_no_matrix_of_blocks_is_kept_in_float32(folder):
    plain, int8 = load(folder, device="cpu"), load(folder, device="cpu", dtype="int8")
    kept = {name for name, _ in int8.model.named_parameters()}
    gone = {name for name, _ in plain.model.named_parameters()} - kept
    assert {name.split(".")[0] for name in gone} == {"image_encoder", "text_encoder", "text_decoder", "image_decoder"}
    assert not any(name.endswith(("expand.weight", "query_key_value.weight", "vocabulary.weight")) for name in kept)
    assert int8.model.num_parameters == plain.model.num_parameters
    assert "; int8 on cpu>" in repr(int8)


def test_int8_is_for_cpus_and_for_inference_alone(folder, tmp_path, monkeypatch: pytest.MonkeyPatch):
    int8 = load(folder, device="cpu", dtype="int8")
    with pytest.raises(ValueError, match="int8 is for CPUs and not compiled; with compile=True use bfloat16"):
        load(folder, device="cpu", dtype="int8", compile=True)
    with pytest.raises(ValueError, match="a model in int8 is not saved"):
        save_weights(tmp_path / "saved", int8.model, int8.tokenizer, int8.config)
    with pytest.raises(ValueError, match="only models in float32 are exported, this one is in int8"):
        export_onnx(int8, tmp_path / "exported")
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    with pytest.raises(ValueError, match="int8 is for CPUs and not compiled; on cuda use bfloat16"):
        load(folder, dtype="int8")


def test_compiles_both_encoders(folder, monkeypatch: pytest.MonkeyPatch):
    compiled = []
    for kind in (ImageEncoder, TextEncoder):
        monkeypatch.setattr(kind, "compile", lambda self: compiled.append(type(self).__name__))
    load(folder, device="cpu")
    assert compiled == []
    load(folder, device="cpu", compile=True)
    assert compiled == ["ImageEncoder", "TextEncoder"]


@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # of PyTorch's own compiler
def test_compiled_embeddings_are_the_same(folder):
    plain, compiled = load(folder, device="cpu"), load(folder, device="cpu", compile=True)
    torch.testing.assert_close(compiled.embed_images(photos(2)), plain.embed_images(photos(2)))
    torch.testing.assert_close(compiled.embed_texts(["a red circle"]), plain.embed_texts(["a red circle"]))


def test_auto_takes_the_accelerator(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    assert choose_device("auto") == torch.device("cuda")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match="there is no device 'mps', PyTorch finds cpu and cuda; use auto"):
        choose_device("mps")


def test_without_an_accelerator_it_is_the_cpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    with pytest.raises(ValueError, match="there is no device 'cuda', PyTorch finds cpu; use auto"):
        choose_device("cuda")


def test_devices_and_types_of_torch_are_names_too():
    assert choose_device(torch.device("cpu")) == choose_device("cpu")
    names = (torch.bfloat16, "bfloat16", "torch.bfloat16")
    assert {torch_dtype(name, torch.device("cpu")) for name in names} == {torch.bfloat16}
    with pytest.raises(ValueError, match="dtype must be one of auto, float32, bfloat16, float16, int8, got 'float64'"):
        torch_dtype(torch.float64, torch.device("cpu"))


@pytest.mark.parametrize(("chosen", "expected"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_auto_is_what_pays_on_the_cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chosen: str, expected):
    monkeypatch.setenv("SYCOCA_AUTO_PRECISION", chosen)
    weights = save_small_weights(tmp_path / "weights")
    assert load(weights, device="cpu", dtype="auto").model.log_logit_scale.dtype == expected
    options = DeviceOptions(device="cpu", precision="auto")
    assert options.load(weights).model.log_logit_scale.dtype == expected


def test_refuses_names_that_mean_nothing():
    with pytest.raises(ValueError, match="'gpu' is no device"):
        choose_device("gpu")
    with pytest.raises(ValueError, match="dtype must be one of auto, float32, bfloat16, float16, int8, got 'int4'"):
        torch_dtype("int4", torch.device("cpu"))
