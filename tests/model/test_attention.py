import pytest
import torch

from reference import slow
from sycoca.model.attention import CrossAttention, KeyValueCache, SelfAttention


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
    attended = attention(x, *attention.keys_values(memory), may_attend)
    shorter = attention(x[:1], *attention.keys_values(memory[:1, :3]))
    torch.testing.assert_close(attended[:1], shorter)
    torch.testing.assert_close(attended[1:], attention(x[1:], *attention.keys_values(memory[1:])))


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
