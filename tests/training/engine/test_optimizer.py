from dataclasses import replace

import pytest
import torch

from sycoca.facts.optimizer_facts import OPTIMIZERS, OptimizerFacts
from sycoca.model.config import SyCoCaConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.training.config import OptimizerConfig
from sycoca.training.engine.limits import state_bytes
from sycoca.training.engine.optimization.optimizer import build_optimizer, decaying_names, layer_scales

NEVER_DECAYING = {
    "log_logit_scale",
    "image_encoder.cls_token",
    "image_encoder.positions",
    "image_encoder.mask_token",
    "image_decoder.positions",
    "image_decoder.mask_token",
    "image_encoder.pooling.memory_pooler.query",
    "image_encoder.pooling.contrastive_pooler.query",
    "text_encoder.token_embedding.weight",
    "text_encoder.positions",
    "text_encoder.cls_token",
}
"""Parameters that a rule on shapes would take for matrices; biases and norms are recognized by name."""


def models(config: SyCoCaConfig) -> list[SyCoCa]:
    pooled = replace(config, image_encoder=replace(config.image_encoder, pooling="attention"))
    assert config.image_decoder is not None
    masked_inside = replace(config, image_decoder=replace(config.image_decoder, mask_tokens="encoder"))
    return [SyCoCa(config), SyCoCa(pooled), SyCoCa(masked_inside)]


def test_matrices_decay_and_nothing_else(config: SyCoCaConfig):
    seen = set()
    for model in models(config):
        for name, parameter in model.named_parameters():
            is_small = name in NEVER_DECAYING or name.endswith("bias") or "norm" in name
            assert (name in decaying_names(model)) == (not is_small), name
            assert not (parameter.ndim < 2 and name in decaying_names(model)), name
        seen |= {name for name, _ in model.named_parameters()}
    assert seen >= NEVER_DECAYING, "a parameter was renamed: rename it here too"


def test_every_parameter_is_in_one_group(config: SyCoCaConfig):
    model = SyCoCa(config)
    optimizer = build_optimizer(model, OptimizerConfig(weight_decay=0.3))
    decaying, others = optimizer.param_groups
    in_groups = [id(parameter) for group in (decaying, others) for parameter in group["params"]]
    assert sorted(in_groups) == sorted(id(parameter) for parameter in model.parameters())
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    assert any(parameter is model.log_logit_scale for parameter in others["params"])


def test_frozen_parameters_are_left_out(config: SyCoCaConfig):
    model = SyCoCa(config)
    model.text_encoder.requires_grad_(False)
    optimizer = build_optimizer(model, OptimizerConfig())
    num_trained = sum(parameter.numel() for group in optimizer.param_groups for parameter in group["params"])
    assert num_trained == sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def test_every_optimizer_keeps_what_its_facts_say(config: SyCoCaConfig):
    for kind, facts in OPTIMIZERS.items():
        model = SyCoCa(config)
        optimizer = build_optimizer(model, OptimizerConfig(kind=kind))
        assert type(optimizer).__name__ == facts.title
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        tensors = [tensor for own in optimizer.state.values() for tensor in own.values() if tensor.ndim > 0]
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        assert size == model.num_parameters * (facts.bytes_per_parameter - 8)  # the weight and its gradient


def test_the_estimate_of_memory_asks_the_optimizer(config: SyCoCaConfig, monkeypatch: pytest.MonkeyPatch):
    model = SyCoCa(config)
    assert state_bytes(model, OptimizerConfig()) == 16 * model.num_parameters
    monkeypatch.setitem(OPTIMIZERS, "adamw", OptimizerFacts(title="Lion", state_per_parameter=1))
    assert state_bytes(model, OptimizerConfig()) == 12 * model.num_parameters


def test_update_is_adamw_by_hand():
    """One step from zero moments: both are corrected to the gradient itself, so the update is its sign."""
    linear = torch.nn.Linear(2, 1).double()
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[2.0, -4.0]]))
        linear.bias.fill_(3.0)
    optimizer = build_optimizer(linear, OptimizerConfig(peak_lr=0.1, weight_decay=0.5, eps=1e-12))
    linear.weight.grad = torch.tensor([[0.7, -0.01]]).double()
    linear.bias.grad = torch.tensor([5.0]).double()
    optimizer.step()
    # Decay first: 2 * (1 - 0.1 * 0.5) = 1.9; then minus 0.1 * sign. The bias does not decay.
    assert linear.weight.tolist() == [pytest.approx([1.8, -3.7])]
    assert linear.bias.tolist() == pytest.approx([2.9])


def test_rates_fall_from_layer_to_layer(config: SyCoCaConfig):
    image_encoder = replace(config.image_encoder, num_registers=2)
    model = SyCoCa(replace(config, image_encoder=image_encoder, num_classes=3))
    scales = layer_scales(model, 0.5)
    assert scales["class_head.linear.weight"] == 1
    assert scales["image_encoder.projection.weight"] == scales["image_encoder.norm_post.weight"] == 1
    assert scales["image_encoder.blocks.1.mlp.expand.weight"] == 0.5
    assert scales["image_encoder.blocks.0.attention.output.bias"] == 0.25
    bottom = {"patch_embedding.weight", "positions", "cls_token", "registers", "norm_pre.weight", "norm_pre.bias"}
    assert {
        name.removeprefix("image_encoder.") for name in scales if "image" in name and scales[name] == 0.125
    } == bottom
    assert scales["text_encoder.token_embedding.weight"] == scales["text_encoder.positions"] == 0.125
    assert scales["text_decoder.self_blocks.0.mlp.expand.weight"] == 1


def test_groups_have_their_layers_rates_and_every_parameter_is_in_one(config: SyCoCaConfig):
    model = SyCoCa(config)
    optimizer = build_optimizer(model, OptimizerConfig(layer_decay=0.5, weight_decay=0.3))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    scales, decaying = layer_scales(model, 0.5), decaying_names(model)
    seen = []
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            seen.append(name)
            assert group["lr_scale"] == scales[name]
            assert group["weight_decay"] == (0.3 if name in decaying else 0)
    assert sorted(seen) == sorted(names.values())


def test_layer_decay_lies_between_0_and_1():
    with pytest.raises(ValueError, match=r"optimizer.layer_decay must lie in \(0, 1\], got 0"):
        OptimizerConfig(layer_decay=0.0)
