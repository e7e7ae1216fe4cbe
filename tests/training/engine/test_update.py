import math
from dataclasses import replace

import pytest
import torch

from sycoca.model.masking_config import MaskingConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.records import ImageTextBatch, LossTerms, TrainingProgress
from sycoca.training.config import OptimizerConfig, RuntimeConfig
from sycoca.training.engine import update
from sycoca.training.engine.optimization.optimizer import build_optimizer
from sycoca.training.engine.runtime import Runtime
from sycoca.training.engine.update import Updater, named_terms
from sycoca.training.recipes.image_text.task import ImageTextTask

WITHOUT_CONTRAST = ObjectivesConfig(contrastive_weight=0.0)


def updater_of(
    model: SyCoCa,
    objectives: ObjectivesConfig,
    *,
    clip_norm: float | None = None,
    precision: str = "fp32",
    masking: MaskingConfig | None = None,
    drop_path: float | None = None,
    activation_checkpointing: bool = False,
) -> Updater:
    masking = MaskingConfig(strategy="random") if masking is None else masking
    task = ImageTextTask(model, masking=masking, objectives=objectives, drop_path=drop_path)
    runtime = Runtime(
        RuntimeConfig(device="cpu", precision=precision, activation_checkpointing=activation_checkpointing)  # pyright: ignore[reportArgumentType]
    )
    return Updater(runtime, task, build_optimizer(model, OptimizerConfig()), clip_norm=clip_norm)


def parts_of(batch: ImageTextBatch, size: int) -> list[ImageTextBatch]:
    """Cut a batch into micro-batches, each trimmed to its own longest caption."""
    parts = []
    for start in range(0, len(batch.images), size):
        rows = slice(start, start + size)
        longest = int((~batch.is_padding[rows]).sum(1).max())
        parts.append(
            replace(
                batch,
                images=batch.images[rows],
                tokens=batch.tokens[rows, :longest],
                is_padding=batch.is_padding[rows, :longest],
                draw_keys=batch.draw_keys[rows],
                sample_keys=None if batch.sample_keys is None else batch.sample_keys[rows],
            )
        )
    return parts


def gradients_after(model: SyCoCa, micro_batches: list[ImageTextBatch], objectives: ObjectivesConfig, **options):
    result = updater_of(model, objectives, **options).update(micro_batches, lr=0.0)
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return result, gradients


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("drop_path", [None, 0.4])
@pytest.mark.parametrize("strategy", ["attentive", "random"])
def test_micro_batches_give_the_loss_and_gradients_of_one_batch(model: SyCoCa, make_batch, size, drop_path, strategy):
    batch = make_batch(batch=8)
    options = {"masking": MaskingConfig(strategy=strategy), "drop_path": drop_path}
    whole, gradients = gradients_after(model, [batch], ObjectivesConfig(), **options)
    cut, cut_gradients = gradients_after(model, parts_of(batch, size), ObjectivesConfig(), **options)
    assert set(whole.terms) == {"contrastive", "captioning", "masked_image"}
    for name, term in whole.terms.items():
        torch.testing.assert_close(cut.terms[name], term, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(cut.gradient_norm, whole.gradient_norm)
    assert gradients.keys() == cut_gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(cut_gradients[name], gradient, rtol=1e-10, atol=1e-12, msg=name)


def test_copies_in_other_micro_batches_are_no_negatives(model: SyCoCa, make_batch):
    keys = torch.arange(16).reshape(8, 2)
    keys[6] = keys[1]
    keys[3, 0] = keys[0, 0]
    batch = replace(make_batch(batch=8), sample_keys=keys)
    whole, gradients = gradients_after(model, [batch], ObjectivesConfig())
    cut, cut_gradients = gradients_after(model, parts_of(batch, 2), ObjectivesConfig())
    without, _ = gradients_after(model, parts_of(replace(batch, sample_keys=None), 2), ObjectivesConfig())
    torch.testing.assert_close(cut.terms["contrastive"], whole.terms["contrastive"], rtol=1e-12, atol=1e-12)
    assert cut.terms["contrastive"] < without.terms["contrastive"]
    for name, gradient in gradients.items():
        torch.testing.assert_close(cut_gradients[name], gradient, rtol=1e-10, atol=1e-12, msg=name)


@pytest.mark.parametrize("frozen", [("image_encoder",), ("text_encoder",), ("image_encoder", "text_encoder")])
@pytest.mark.parametrize("size", [2, 8])
def test_a_frozen_encoder_leaves_the_others_gradients_whatever_the_micro_batch(
    model: SyCoCa, make_batch, frozen: tuple[str, ...], size: int
):
    batch = make_batch(batch=8)
    whole, gradients = gradients_after(model, [batch], ObjectivesConfig())
    model.zero_grad()
    for part in frozen:
        model.get_submodule(part).requires_grad_(False)
    cut, cut_gradients = gradients_after(model, parts_of(batch, size), ObjectivesConfig())
    for name, term in whole.terms.items():
        torch.testing.assert_close(cut.terms[name], term, rtol=1e-12, atol=1e-12)
    learning = {name for name in gradients if not name.startswith(frozen)}
    assert cut_gradients.keys() == learning
    for name in learning:
        torch.testing.assert_close(cut_gradients[name], gradients[name], rtol=1e-10, atol=1e-12, msg=name)
    norm = torch.stack([gradients[name].square().sum() for name in learning]).sum().sqrt()
    torch.testing.assert_close(cut.gradient_norm, norm)


def test_drop_path_is_drawn_alike_when_a_batch_is_embedded_first(model: SyCoCa, make_batch):
    with_paths, without = (
        gradients_after(model, parts_of(make_batch(batch=4), 2), ObjectivesConfig(), drop_path=rate)[0]
        for rate in (0.9, None)
    )
    assert with_paths.terms["contrastive"] != without.terms["contrastive"]


def test_without_contrast_nothing_is_embedded_twice(model: SyCoCa, make_batch):
    calls = []
    model.text_encoder.register_forward_hook(lambda *_: calls.append(None))
    gradients_after(model, parts_of(make_batch(batch=4), 2), WITHOUT_CONTRAST)
    assert len(calls) == 2
    gradients_after(model, parts_of(make_batch(batch=4), 2), ObjectivesConfig())
    assert len(calls) == 2 + 4


@pytest.mark.parametrize("pooling", ["cls", "attention"])
def test_activation_checkpointing_keeps_less_and_changes_nothing(config, make_batch, pooling: str):
    model = SyCoCa(replace(config, image_encoder=replace(config.image_encoder, pooling=pooling))).double()
    batch, kept = make_batch(), []

    def saved(recomputes: bool):
        tensors: dict[int, int] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            tensors[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            found = gradients_after(model, [batch], ObjectivesConfig(), activation_checkpointing=recomputes)
        kept.append(len(tensors))
        return found

    (plain, gradients), (recomputed, same_gradients) = saved(False), saved(True)
    assert recomputed.terms == plain.terms
    assert all(torch.equal(same_gradients[name], gradient) for name, gradient in gradients.items())
    assert kept[1] < 0.6 * kept[0]
    assert set(model.state_dict()) == set(SyCoCa(model.config).state_dict())


def test_gradients_of_earlier_updates_are_gone(model: SyCoCa, make_batch):
    batch = make_batch()
    updater = updater_of(model, ObjectivesConfig())
    first = updater.update([batch], lr=0.0).gradient_norm
    torch.testing.assert_close(updater.update([batch], lr=0.0).gradient_norm, first)


def test_learning_rate_is_that_of_the_call(model: SyCoCa, make_batch):
    updater = updater_of(model, ObjectivesConfig())
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    updater.update([make_batch()], lr=0.0)
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
    updater.update([make_batch()], lr=1e-3)
    moved = [name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])]
    assert set(moved) == set(before)


def test_clipping_scales_the_gradient_to_the_norm(model: SyCoCa, make_batch):
    batch = make_batch()
    plain, gradients = gradients_after(model, [batch], ObjectivesConfig())
    updater = updater_of(model, ObjectivesConfig(), clip_norm=0.01)
    clipped = updater.update([batch], lr=0.0)
    by_hand = torch.stack([gradient.square().sum() for gradient in gradients.values()]).sum().sqrt()
    torch.testing.assert_close(plain.gradient_norm, by_hand)
    torch.testing.assert_close(clipped.gradient_norm, by_hand)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, gradients[name] * 0.01 / by_hand, rtol=1e-4, atol=0.0)


def test_update_learns(model: SyCoCa, make_batch):
    batch = make_batch()
    updater = updater_of(model, ObjectivesConfig(), clip_norm=1.0)
    totals = [sum(updater.update([batch], lr=3e-3).terms.values()).item() for _ in range(12)]
    assert totals[-1] < 0.9 * totals[0]


def test_temperature_is_clamped_after_every_update(model: SyCoCa, make_batch):
    with torch.no_grad():
        model.log_logit_scale.fill_(20.0)
    updater_of(model, ObjectivesConfig()).update([make_batch()], lr=0.0)
    assert model.logit_scale().item() == pytest.approx(100.0)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_computes_in_half_and_keeps_weights(model: SyCoCa, make_batch, precision: str):
    model = model.float()
    batch = make_batch(dtype=torch.float32)
    seen = []
    model.image_encoder.blocks[0].mlp.register_forward_hook(lambda *call: seen.append(call[2].dtype))
    full = updater_of(model, ObjectivesConfig()).update([batch], lr=0.0)
    halved = updater_of(model, ObjectivesConfig(), precision=precision)
    halved.load_scaler_state({**halved.scaler_state(), "scale": 256.0} if precision == "fp16" else {})
    half = halved.update([batch], lr=0.0)
    assert seen[0] == torch.float32
    assert seen[-1] == {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    for name, term in full.terms.items():
        assert half.terms[name].item() == pytest.approx(term.item(), rel=0.05), name
    assert half.gradient_norm.item() == pytest.approx(full.gradient_norm.item(), rel=0.1)


def test_fp16_leaves_out_an_update_that_overflows_and_scales_down(model: SyCoCa, make_batch):
    model = model.float()
    updater = updater_of(model, ObjectivesConfig(), precision="fp16")
    updater.load_scaler_state({**updater.scaler_state(), "scale": 2.0**60})
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    result = updater.update([make_batch(dtype=torch.float32)], lr=0.1)
    assert not torch.isfinite(result.gradient_norm)
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
    assert updater.scaler_state()["scale"] == 2.0**59


def test_scaling_of_another_precision_is_left_aside(model: SyCoCa):
    updater = updater_of(model, ObjectivesConfig())
    updater.load_scaler_state({"scale": 8.0})
    assert updater.scaler_state() == {}


def test_named_terms_leave_out_what_is_off_and_carry_no_gradient():
    named = named_terms(LossTerms(captioning=torch.tensor(2.0, requires_grad=True)))
    assert list(named) == ["captioning"]
    assert not named["captioning"].requires_grad


@pytest.mark.parametrize("fused", [True, False])
def test_a_skipped_update_leaves_weights_and_moments(
    model: SyCoCa, make_batch, fused: bool, monkeypatch: pytest.MonkeyPatch
):
    updater = updater_of(model, ObjectivesConfig())
    for group in updater.optimizer.param_groups:
        group["fused"] = fused
    updater.update([make_batch()], lr=1e-2)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    states = [
        {name: tensor.clone() for name, tensor in state.items()}
        for state in updater.optimizer.state_dict()["state"].values()
    ]
    monkeypatch.setattr(update, "clip_gradients", lambda *_: torch.tensor(math.nan))
    assert not updater.update([make_batch()], lr=1e-2).gradient_norm.isfinite()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    after = updater.optimizer.state_dict()["state"].values()
    assert all(torch.equal(new[name], old[name]) for old, new in zip(states, after, strict=True) for name in old)
    monkeypatch.undo()
    updater.update([make_batch()], lr=1e-2)
    assert not any(torch.equal(parameter, weights[name]) for name, parameter in model.named_parameters())


def test_fp16_that_lowers_its_scale_is_no_failure():
    updater = Updater.__new__(Updater)
    updater.scaler = torch.amp.GradScaler("cpu", enabled=True, init_scale=4.0)
    assert not updater.is_failure(1.0, math.inf)
    assert updater.is_failure(math.nan, math.inf)
    updater.scaler = torch.amp.GradScaler("cpu", enabled=True, init_scale=0.5)
    assert updater.is_failure(1.0, math.inf)
    assert not updater.is_failure(1.0, 3.0)


def test_a_step_without_tg_mim_leaves_its_parameters_as_they_are(model: SyCoCa, make_batch):
    """Neither moments nor weight decay nor gradients of the step before move them."""
    batch = make_batch()
    updater = updater_of(model, ObjectivesConfig(masked_image_every=2))
    assert updater.task.leaves_parameters_unused()
    assert model.image_decoder is not None
    for step in (2, 3):
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        progress = TrainingProgress(step=step, num_steps=4)
        result = updater.update(updater.task.at(parts_of(batch, 3), progress), lr=1e-3)
        assert ("masked_image" in result.terms) == (step == 2)
        moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
        of_decoder = {f"image_decoder.{name}" for name, _ in model.image_decoder.named_parameters()}
        assert moved & of_decoder == (of_decoder if step == 2 else set())
        assert "image_encoder.patch_embedding.weight" in moved
