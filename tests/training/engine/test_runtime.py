import os
from dataclasses import fields, replace

import pytest
import torch

from builders.two_processes import with_more_captions
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.training.config import RuntimeConfig
from sycoca.training.engine.runtime import Runtime
from sycoca.training.engine.update import named_terms
from sycoca.training.recipes.image_text.task import ImageTextTask

CPU = RuntimeConfig(device="cpu")


def test_alone_everything_is_local():
    with Runtime(CPU) as runtime:
        assert (runtime.rank, runtime.world_size, runtime.is_main_rank) == (0, 1, True)
        tensor = torch.randn(3, 2)
        assert runtime.gather(tensor) is tensor
        assert runtime.sum_over_ranks({"a": torch.tensor(2.5), "b": torch.tensor(1)}) == {"a": 2.5, "b": 1.0}
        assert (runtime.any_rank(True), runtime.any_rank(False)) == (True, False)
        runtime.barrier()


def test_process_group_of_another_size_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 4)
    with pytest.raises(ValueError, match="WORLD_SIZE is 1 but the process group has 4 processes"):
        Runtime(CPU)
    place = {"RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    for name, value in {**place, "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="WORLD_SIZE is 2 but the process group has 4 processes"):
        Runtime(CPU)


def test_unknown_and_absent_devices_are_refused():
    with pytest.raises(ValueError, match="gpu"):
        Runtime(RuntimeConfig(device="gpu"))
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="cuda"):
            Runtime(RuntimeConfig(device="cuda"))


def test_draw_keys_stay_on_the_cpu(make_batch):
    batch = with_more_captions(make_batch())
    runtime = Runtime(CPU)
    runtime.device = torch.device("meta")
    moved, more = runtime.to_device(batch), batch.more_captions
    assert more is not None
    assert moved.more_captions is not None
    for field in fields(more):
        own = getattr(moved.more_captions, field.name)
        assert own.device.type == "meta" if isinstance(own, torch.Tensor) else own == more.num_tokens
    assert {moved.images.device.type, moved.tokens.device.type, moved.is_padding.device.type} == {"meta"}
    assert moved.draw_keys is batch.draw_keys


def test_compiles_components_in_place(model, monkeypatch: pytest.MonkeyPatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(module))
    task = ImageTextTask(model, masking=MaskingConfig(), objectives=ObjectivesConfig())
    assert Runtime(CPU).wrap(task) is task
    assert compiled == []
    assert Runtime(RuntimeConfig(device="cpu", compile=True)).wrap(task) is task
    assert compiled == [model.image_encoder, model.text_encoder, model.text_decoder, model.image_decoder]


@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore")  # PyTorch's compiler emits warnings of its own
def test_a_compiled_step_has_the_losses_and_gradients_of_a_plain_one(config, make_batch):
    many_queries = replace(config.image_encoder.pooler, num_queries=101)  # so that few tokens fold them
    config = replace(config, image_encoder=replace(config.image_encoder, pooling="attention", pooler=many_queries))
    model, batch = SyCoCa(config), make_batch(dtype=torch.float32)
    task = ImageTextTask(model, masking=MaskingConfig(), objectives=ObjectivesConfig())
    results = []
    for compiles in (False, True):
        Runtime(RuntimeConfig(device="cpu", compile=compiles)).wrap(task)
        task.zero_grad()
        terms = task(batch)
        task.total_loss(terms).backward()
        gradients = {name: parameter.grad.clone() for name, parameter in task.named_parameters()}
        results.append((named_terms(terms), gradients))
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)


def test_kernels_are_limited_before_a_precision_is_measured(monkeypatch: pytest.MonkeyPatch):
    limits: list[str | None] = []
    monkeypatch.delenv("LRU_CACHE_CAPACITY", raising=False)

    def choose(*_: object) -> str:
        limits.append(os.environ.get("LRU_CACHE_CAPACITY"))
        return "fp32"

    monkeypatch.setattr("sycoca.training.engine.runtime.choose_precision", choose)
    Runtime(RuntimeConfig(device="cpu"))
    assert limits == ["128"]
