"""Low-rank adapters: an untrained one changes nothing, and merging changes no output."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from builders.two_processes import MODEL, batch_of
from sycoca.model.adapters import add_adapters, is_of_adapter, merge_adapters
from sycoca.model.config import SyCoCaConfig
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.packing import Packing
from sycoca.model.pooler_config import AttentionPoolerConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.objectives.contrastive import Ranks
from sycoca.objectives.pretraining import pretraining_losses

POOLED = replace(
    MODEL,
    image_encoder=replace(
        MODEL.image_encoder, pooling="attention", pooler=AttentionPoolerConfig(num_queries=5, width=8, num_heads=2)
    ),
)


def model_of(config: SyCoCaConfig) -> SyCoCa:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return SyCoCa(config).double()


def trained_adapters(model: SyCoCa) -> None:
    """Add adapters as they are after some training."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        add_adapters(model, rank=2, alpha=6.0)
        for name, parameter in model.named_parameters():
            if is_of_adapter(name):
                torch.nn.init.normal_(parameter, std=0.3)


def losses(model: SyCoCa) -> dict[str, Tensor]:
    terms = pretraining_losses(model, batch_of(8), MaskingConfig(), ObjectivesConfig(), Ranks())
    return dict(terms.named())


@torch.no_grad()
def decoded(model: SyCoCa) -> Tensor:
    """Return logits of a decoding, with the cache and without gradients."""
    batch = batch_of(4)
    memory = model.memory(model.encode_images(batch.images))
    state = model.start_decoding(memory, 9)
    return torch.stack([model.next_token_logits(batch.tokens[:, place : place + 1], state) for place in range(5)])


@torch.no_grad()
def states(model: SyCoCa) -> Tensor:
    batch = batch_of(4)
    texts = model.encode_texts(batch.tokens, batch.is_padding)
    packed = model.caption_states(
        texts.token_states, model.memory(model.encode_images(batch.images)), Packing(~batch.is_padding)
    )
    return torch.where(batch.is_padding.unsqueeze(2), 0, packed)


def probabilities(model: SyCoCa) -> Tensor:
    batch = batch_of(4)
    texts = model.encode_texts(batch.tokens, batch.is_padding)
    return model.caption_attention(model.encode_images(batch.images), texts.token_states)


OUTPUTS: list[Callable[[SyCoCa], Tensor]] = [decoded, states, probabilities]


@pytest.mark.parametrize("config", [MODEL, POOLED], ids=["cls", "pooled"])
def test_an_untrained_adapter_changes_nothing(config: SyCoCaConfig):
    plain, adapted = model_of(config), model_of(config)
    add_adapters(adapted, rank=3, alpha=6.0)
    for name, loss in losses(plain).items():
        assert torch.equal(loss, losses(adapted)[name]), name
    assert all(torch.equal(output(plain), output(adapted)) for output in OUTPUTS)


@pytest.mark.parametrize("config", [MODEL, POOLED], ids=["cls", "pooled"])
def test_merging_changes_no_output(config: SyCoCaConfig):
    plain, adapted, merged = model_of(config), model_of(config), model_of(config)
    trained_adapters(adapted)
    trained_adapters(merged)
    merge_adapters(merged)
    assert merged.state_dict().keys() == plain.state_dict().keys()
    for name, loss in losses(merged).items():
        assert loss.item() == pytest.approx(losses(adapted)[name].item(), rel=1e-11)
        assert loss.item() != pytest.approx(losses(plain)[name].item(), rel=1e-5)
    for output in OUTPUTS:
        torch.testing.assert_close(output(merged), output(adapted), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("config", [MODEL, POOLED], ids=["cls", "pooled"])
def test_gradients_are_those_of_the_whole_matrices(config: SyCoCaConfig):
    adapted, merged = model_of(config), model_of(config)
    trained_adapters(adapted)
    trained_adapters(merged)
    merge_adapters(merged)
    for model in (adapted, merged):
        torch.stack(list(losses(model).values())).sum().backward()
    gradients = {name: parameter.grad for name, parameter in merged.named_parameters()}
    adapters = {name.removesuffix(".down"): own for name, own in adapted.named_parameters() if name.endswith(".down")}
    assert len(adapters) == (58 if config is POOLED else 52)
    for name, down in adapters.items():
        up = adapted.get_parameter(f"{name}.up")
        whole = gradients[name.replace(".adapter", ".weight")]
        assert whole is not None
        torch.testing.assert_close(up.grad, 3.0 * whole @ down.T, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(down.grad, 3.0 * up.T @ whole, rtol=1e-9, atol=1e-11)
