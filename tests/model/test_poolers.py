from dataclasses import replace

import pytest
import torch
from torch import nn

from sycoca.model.config import SyCoCaConfig
from sycoca.model.forms import POOLERS, PoolerKind
from sycoca.model.pooler_config import AttentionPoolerConfig
from sycoca.model.poolers import AttentionPooling, MapHead


@pytest.fixture(params=POOLERS)
def pooling(request: pytest.FixtureRequest) -> AttentionPooling:
    kind: PoolerKind = request.param
    config = AttentionPoolerConfig(kind=kind, num_queries=4, width=8, num_heads=2)
    return AttentionPooling(config, image_width=12).double()


def test_each_alone_equals_pooling_an_image_of_one_token(pooling: AttentionPooling):
    tokens = torch.randn(2, 5, 12, dtype=torch.float64)
    each = pooling.feature_of_each(tokens)
    for j in range(5):
        torch.testing.assert_close(each[:, j], pooling.feature(tokens[:, j : j + 1]))


def test_the_order_of_the_keys_does_not_matter(pooling: AttentionPooling):
    tokens, order = torch.randn(2, 5, 12, dtype=torch.float64), torch.randperm(5)
    torch.testing.assert_close(pooling.memory(tokens[:, order]), pooling.memory(tokens))
    torch.testing.assert_close(pooling.feature(tokens[:, order]), pooling.feature(tokens))


def test_single_uses_query_0_for_the_global_feature(pooling: AttentionPooling):
    tokens = torch.randn(2, 5, 12, dtype=torch.float64)
    is_single = pooling.contrastive_pooler is None
    assert pooling.memory(tokens).shape == (2, 3 if is_single else 4, 8)
    if is_single:
        pooled = pooling.norm(pooling.memory_pooler(tokens))
        torch.testing.assert_close(pooling.feature(tokens), pooled[:, 0])
        torch.testing.assert_close(pooling.memory(tokens), pooled[:, 1:])


def test_cascade_pools_the_memory_and_parallel_does_not():
    tokens = torch.randn(1, 5, 12)
    for kind, reads in (("cascade", True), ("parallel", False)):
        pooling = AttentionPooling(AttentionPoolerConfig(kind=kind, num_queries=4, width=8, num_heads=2), 12)
        before = pooling.feature(tokens)
        with torch.no_grad():
            pooling.memory_pooler.query.add_(torch.randn_like(pooling.memory_pooler.query))
            pooling.memory_pooler.attention.output.weight.mul_(3)
        assert (not torch.allclose(before, pooling.feature(tokens))) == reads


@pytest.fixture
def map_head(config: SyCoCaConfig) -> MapHead:
    head = MapHead(replace(config.image_encoder, width=12, norm_eps=1e-6, activation="gelu_tanh")).double()
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=0.5)
    return head


@torch.no_grad()
def test_a_map_head_is_attention_by_its_query_and_an_mlp(map_head: MapHead):
    tokens = torch.randn(2, 5, 12, dtype=torch.float64)
    attention = nn.MultiheadAttention(12, 3, batch_first=True, dtype=torch.float64)
    attention.in_proj_weight.copy_(torch.cat([torch.eye(12), map_head.key_value.weight]))
    attention.in_proj_bias.copy_(torch.cat([torch.zeros(12), map_head.key_value.bias]))
    attention.out_proj.load_state_dict(map_head.output.state_dict())
    pooled = attention(map_head.query.expand(2, 1, -1), tokens, tokens)[0][:, 0]
    norm = map_head.norm_mlp
    hidden = nn.functional.layer_norm(pooled, (12,), norm.weight, norm.bias, 1e-6)
    hidden = nn.functional.gelu(map_head.mlp.expand(hidden), approximate="tanh")
    torch.testing.assert_close(map_head.feature(tokens), pooled + map_head.mlp.contract(hidden))


def test_each_alone_is_what_a_map_head_makes_of_an_image_of_one_token(map_head: MapHead):
    tokens = torch.randn(2, 5, 12, dtype=torch.float64)
    each = map_head.feature_of_each(tokens)
    for j in range(5):
        torch.testing.assert_close(each[:, j], map_head.feature(tokens[:, j : j + 1]))
