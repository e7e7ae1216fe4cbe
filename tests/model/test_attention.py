import pytest
import torch
from torch import nn
from torch.nn import functional as F

from reference import slow
from sycoca.model.attention import CrossAttention, Memory, SelfAttention
from sycoca.model.key_value_cache import KeyValueCache
from sycoca.model.packing import Packing


def norm_of(width: int) -> nn.LayerNorm:
    """A norm in float64 that scales and shifts."""
    norm = nn.LayerNorm(width).double()
    nn.init.normal_(norm.weight, mean=1.0)
    nn.init.normal_(norm.bias)
    return norm


@pytest.mark.parametrize("is_causal", [False, True])
def test_self_attention_equals_the_slow_version(is_causal: bool):
    attention, norm = SelfAttention(width=6, num_heads=2).double(), norm_of(6)
    x = torch.randn(2, 4, 6, dtype=torch.float64)
    may_attend = torch.ones(4, 4).tril().bool() if is_causal else torch.ones(4, 4).bool()
    queries, keys, values = attention.query_key_value(norm(x)).detach().chunk(3, dim=-1)
    expected = torch.stack(
        [
            torch.cat(
                [
                    slow.attention(queries[i][:, h], keys[i][:, h], values[i][:, h], may_attend)
                    for h in (slice(0, 3), slice(3, 6))
                ],
                dim=1,
            )
            for i in range(2)
        ]
    )
    torch.testing.assert_close(attention(x, norm, is_causal=is_causal), attention.output(expected))


def test_computing_only_the_last_queries_gives_the_same_outputs():
    attention, norm, x = SelfAttention(6, 2).double(), norm_of(6), torch.randn(2, 5, 6, dtype=torch.float64)
    expected = attention(x, norm, is_causal=False)[:, -2:]
    torch.testing.assert_close(attention(x, norm, is_causal=False, num_queries=2), expected)


def test_cross_attention_ignores_keys_it_may_not_attend_to():
    attention = CrossAttention(width=6, memory_width=10, num_heads=3).double()
    x, memory = torch.randn(2, 4, 6, dtype=torch.float64), torch.randn(2, 5, 10, dtype=torch.float64)
    may_attend = torch.tensor([[True, True, True, False, False], [True] * 5])
    norm, memory_norm = norm_of(6), norm_of(10)
    attended = attention(x, norm, Memory(memory, may_attend), memory_norm)
    torch.testing.assert_close(attended[:1], attention(x[:1], norm, Memory(memory[:1, :3]), memory_norm))
    torch.testing.assert_close(attended[1:], attention(x[1:], norm, Memory(memory[1:]), memory_norm))


@torch.no_grad()
def slow_cross_attention(
    attention: CrossAttention, x: torch.Tensor, norm: nn.LayerNorm, memory: torch.Tensor, memory_norm: nn.LayerNorm
) -> torch.Tensor:
    """Row by row and head by head; rows of one image are consecutive."""
    rows_per_image, features = len(x) // len(memory), x.shape[2] // attention.num_heads
    rows = []
    for row, own in enumerate(attention.query(norm(x))):
        keys, values = attention.key_value(memory_norm(memory[row // rows_per_image])).chunk(2, dim=-1)
        everything = torch.ones(len(own), len(keys)).bool()
        heads = [slice(head * features, (head + 1) * features) for head in range(attention.num_heads)]
        rows.append(torch.cat([slow.attention(own[:, h], keys[:, h], values[:, h], everything) for h in heads], dim=1))
    return attention.output(torch.stack(rows))


@pytest.mark.parametrize(("num_tokens", "num_keys"), [(1, 40), (9, 4)], ids=["folded", "projected"])
@pytest.mark.parametrize("rows_per_image", [1, 2])
def test_cross_attention_equals_the_slow_version(monkeypatch, num_tokens, num_keys, rows_per_image):
    attention = CrossAttention(width=6, memory_width=10, num_heads=2).double()
    x = torch.randn(3 * rows_per_image, num_tokens, 6, dtype=torch.float64)
    memory = torch.randn(3, num_keys, 10, dtype=torch.float64)
    norm, memory_norm = norm_of(6), norm_of(10)
    expected = slow_cross_attention(attention, x, norm, memory, memory_norm).detach()
    projections = []
    keys_values = CrossAttention.keys_values
    monkeypatch.setattr(
        CrossAttention, "keys_values", lambda self, *memory: projections.append(None) or keys_values(self, *memory)
    )
    torch.testing.assert_close(attention(x, norm, Memory(memory), memory_norm), expected)
    # With few queries and many keys, the keys are not projected.
    assert len(projections) == (0 if num_keys > num_tokens else 1)


def test_folded_attention_has_the_gradients_of_projected_keys_and_values():
    attention, norm, memory_norm = (
        CrossAttention(width=6, memory_width=10, num_heads=2).double(),
        norm_of(6),
        norm_of(10),
    )
    x = torch.randn(3, 2, 6, dtype=torch.float64, requires_grad=True)
    states = torch.randn(3, 40, 10, dtype=torch.float64, requires_grad=True)
    inputs = (x, states, *attention.parameters(), *norm.parameters(), *memory_norm.parameters())
    grad_output = torch.randn(3, 2, 6, dtype=torch.float64)
    folded = attention(x, norm, Memory(states), memory_norm)
    projected = attention.with_keys_values(x, norm, *attention.keys_values(Memory(states), memory_norm))
    ours, theirs = (torch.autograd.grad(found, inputs, grad_output) for found in (folded, projected))
    for own, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-10, atol=1e-12)


def test_layers_share_the_computations_of_a_memory():
    first, second = (CrossAttention(width=6, memory_width=10, num_heads=2).double() for _ in range(2))
    x, norm, memory_norm = torch.randn(3, 2, 6, dtype=torch.float64), norm_of(6), norm_of(10)
    memory = Memory(torch.randn(3, 40, 10, dtype=torch.float64))
    first(x, norm, memory, memory_norm)
    _, once = memory.standardized_as(torch.float64)
    second(x, norm, memory, memory_norm)
    assert memory.standardized_as(torch.float64)[1] is once
    assert once.is_contiguous()


def test_packed_rows_attend_as_padded_rows():
    is_real = torch.arange(4) < torch.tensor([[2], [4], [1]])
    x, packing = torch.randn(3, 4, 6, dtype=torch.float64), Packing(is_real)
    to_itself, norm = SelfAttention(width=6, num_heads=2).double(), norm_of(6)
    packed = to_itself(packing.pack(x), norm, is_causal=True, packing=packing)
    torch.testing.assert_close(packed[0], to_itself(x, norm, is_causal=True)[is_real])
    to_memory, memory = CrossAttention(6, 10, 2).double(), Memory(torch.randn(3, 5, 10, dtype=torch.float64))
    memory_norm = norm_of(10)
    packed = to_memory(packing.pack(x), norm, memory, memory_norm, packing=packing)
    torch.testing.assert_close(packed[0], to_memory(x, norm, memory, memory_norm)[is_real])


def test_attention_with_a_cache_equals_attention_without():
    attention, norm = SelfAttention(width=6, num_heads=2).double(), norm_of(6)
    x = torch.randn(3, 5, 6, dtype=torch.float64)
    cache = KeyValueCache(max_tokens=5)
    parts = [attention(x[:, :2], norm, is_causal=True, cache=cache)]
    parts += [attention(x[:, i : i + 1], norm, is_causal=True, cache=cache) for i in range(2, 5)]
    torch.testing.assert_close(torch.cat(parts, dim=1), attention(x, norm, is_causal=True))


def test_a_full_cache_and_a_late_prompt_are_refused():
    attention, norm, cache = SelfAttention(width=4, num_heads=1), nn.LayerNorm(4), KeyValueCache(max_tokens=3)
    attention(torch.randn(1, 2, 4), norm, is_causal=True, cache=cache)
    with pytest.raises(ValueError, match="holds 3 tokens, 4 were given"):
        attention(torch.randn(1, 2, 4), norm, is_causal=True, cache=cache)
    roomy = KeyValueCache(max_tokens=9)
    attention(torch.randn(1, 2, 4), norm, is_causal=True, cache=roomy)
    with pytest.raises(ValueError, match="one token at a time"):
        attention(torch.randn(1, 2, 4), norm, is_causal=True, cache=roomy)


@pytest.mark.parametrize(("num_tokens", "num_keys"), [(1, 60), (9, 4)], ids=["folded", "projected"])
def test_in_bfloat16_gradients_are_those_of_float32_rounded(num_tokens: int, num_keys: int):
    attention, norm, memory_norm = CrossAttention(32, 48, 4), nn.LayerNorm(32), nn.LayerNorm(48)
    x, memory = torch.randn(6, num_tokens, 32), torch.randn(6, num_keys, 48)
    assert attention._folding_saves(num_tokens, Memory(memory)) == (num_tokens == 1)

    def gradients(dtype: torch.dtype) -> list[torch.Tensor]:
        given = [x.clone().requires_grad_(), memory.clone().requires_grad_()]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            out = attention(given[0], norm, Memory(given[1]), memory_norm)
        assert out.dtype == dtype
        return list(torch.autograd.grad(out.float().square().sum(), [*given, *attention.parameters()]))

    for found, expected in zip(gradients(torch.bfloat16), gradients(torch.float32), strict=True):
        assert found.dtype == torch.float32
        assert (found - expected).norm() <= 0.03 * expected.norm() + 1e-3


@pytest.mark.parametrize(("has_grad", "expected"), [(True, torch.float32), (False, torch.bfloat16)])
def test_in_bfloat16_the_kernel_computes_in_float32_where_gradients_follow(
    monkeypatch: pytest.MonkeyPatch, has_grad: bool, expected: torch.dtype
):
    used: list[torch.dtype] = []
    kernel = F.scaled_dot_product_attention
    monkeypatch.setattr(
        F,
        "scaled_dot_product_attention",
        lambda q, *rest, **options: used.append(q.dtype) or kernel(q, *rest, **options),
    )
    attention, norm = SelfAttention(32, 4), nn.LayerNorm(32)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.set_grad_enabled(has_grad):
        assert attention(torch.randn(2, 7, 32), norm, is_causal=True).dtype == torch.bfloat16
    assert used == [expected]


def test_states_in_another_type_are_converted_once():
    memory = Memory(torch.randn(2, 5, 8))
    states, transposed = memory.standardized_as(torch.bfloat16)
    assert states.dtype == transposed.dtype == torch.bfloat16
    torch.testing.assert_close(transposed, states.mT)
    assert memory.standardized_as(torch.bfloat16)[0] is states
    assert memory.standardized_as(torch.float32)[0] is memory.standardized
