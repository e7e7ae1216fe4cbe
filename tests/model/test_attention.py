import pytest
import torch

from reference import slow
from sycoca.model.attention import CrossAttention, KeyValueCache, SelfAttention
from sycoca.model.packing import Packing


@pytest.mark.parametrize("is_causal", [False, True])
def test_self_attention_equals_the_slow_version(is_causal: bool):
    attention = SelfAttention(width=6, num_heads=2).double()
    x = torch.randn(2, 4, 6, dtype=torch.float64)
    may_attend = torch.ones(4, 4).tril().bool() if is_causal else torch.ones(4, 4).bool()
    queries, keys, values = attention.query_key_value(x).detach().chunk(3, dim=-1)
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
    torch.testing.assert_close(attention(x, is_causal=is_causal), attention.output(expected))


def test_cross_attention_ignores_keys_it_may_not_attend_to():
    attention = CrossAttention(width=6, memory_width=10, num_heads=3).double()
    x, memory = torch.randn(2, 4, 6, dtype=torch.float64), torch.randn(2, 5, 10, dtype=torch.float64)
    may_attend = torch.tensor([[True, True, True, False, False], [True] * 5])[:, None, None]
    attended = attention(x, memory, may_attend)
    torch.testing.assert_close(attended[:1], attention(x[:1], memory[:1, :3]))
    torch.testing.assert_close(attended[1:], attention(x[1:], memory[1:]))


@torch.no_grad()
def slow_cross_attention(attention: CrossAttention, x: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
    """Row by row and head by head; an image's rows lie side by side."""
    rows_per_image, features = len(x) // len(memory), x.shape[2] // attention.num_heads
    rows = []
    for row, own in enumerate(attention.query(x)):
        keys, values = attention.key_value(memory[row // rows_per_image]).chunk(2, dim=-1)
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
    expected = slow_cross_attention(attention, x, memory).detach()
    projections = []
    keys_values = CrossAttention.keys_values
    monkeypatch.setattr(
        CrossAttention, "keys_values", lambda self, memory: projections.append(None) or keys_values(self, memory)
    )
    torch.testing.assert_close(attention(x, memory), expected)
    # Few queries of many keys never project the keys.
    assert len(projections) == (0 if num_keys > num_tokens else 1)


def test_folding_gives_every_tensor_the_gradients_of_projecting():
    attention = CrossAttention(width=6, memory_width=10, num_heads=2).double()
    x = torch.randn(3, 2, 6, dtype=torch.float64, requires_grad=True)
    memory = torch.randn(3, 40, 10, dtype=torch.float64, requires_grad=True)
    inputs = (x, memory, *attention.parameters())
    toward = torch.randn(3, 2, 6, dtype=torch.float64)
    folded = torch.autograd.grad(attention(x, memory), inputs, toward)
    projected = torch.autograd.grad(attention.with_keys_values(x, *attention.keys_values(memory)), inputs, toward)
    for ours, theirs in zip(folded, projected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_packed_rows_attend_as_padded_ones_do():
    is_real = torch.arange(4) < torch.tensor([[2], [4], [1]])
    x, packing = torch.randn(3, 4, 6, dtype=torch.float64), Packing(is_real)
    to_itself = SelfAttention(width=6, num_heads=2).double()
    packed = to_itself(packing.pack(x), is_causal=True, packing=packing)
    torch.testing.assert_close(packed[0], to_itself(x, is_causal=True)[is_real])
    to_memory, memory = CrossAttention(6, 10, 2).double(), torch.randn(3, 5, 10, dtype=torch.float64)
    packed = to_memory(packing.pack(x), memory, packing=packing)
    torch.testing.assert_close(packed[0], to_memory(x, memory)[is_real])


def test_attention_through_a_cache_equals_attention_at_once():
    attention = SelfAttention(width=6, num_heads=2).double()
    x = torch.randn(3, 5, 6, dtype=torch.float64)
    cache = KeyValueCache(max_tokens=5)
    parts = [attention(x[:, :2], is_causal=True, cache=cache)]
    parts += [attention(x[:, i : i + 1], is_causal=True, cache=cache) for i in range(2, 5)]
    torch.testing.assert_close(torch.cat(parts, dim=1), attention(x, is_causal=True))


def test_a_full_cache_and_a_late_prompt_are_refused():
    attention, cache = SelfAttention(width=4, num_heads=1), KeyValueCache(max_tokens=3)
    attention(torch.randn(1, 2, 4), is_causal=True, cache=cache)
    with pytest.raises(ValueError, match="holds 3 tokens, 4 were given"):
        attention(torch.randn(1, 2, 4), is_causal=True, cache=cache)
    roomy = KeyValueCache(max_tokens=9)
    attention(torch.randn(1, 2, 4), is_causal=True, cache=roomy)
    with pytest.raises(ValueError, match="one token at a time"):
        attention(torch.randn(1, 2, 4), is_causal=True, cache=roomy)
