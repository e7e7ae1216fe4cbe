"""Attention weights that explanations show: the same as in the forward pass, down to the patches."""

import pytest
import torch

from sycoca.model.attention import CrossAttention, Memory, merge_heads, split_heads
from sycoca.model.config import ImageEncoderConfig, SyCoCaConfig, TextEncoderConfig
from sycoca.model.decoder_configs import TextDecoderConfig
from sycoca.model.forms import PoolerKind
from sycoca.model.pooler_config import AttentionPoolerConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.model.transformer import layer_norm


def test_weights_are_those_of_the_forward_pass():
    torch.manual_seed(0)
    attention, norm, memory_norm = CrossAttention(8, 6, 1).double(), layer_norm(8).double(), layer_norm(6).double()
    x, memory = torch.randn(2, 3, 8, dtype=torch.double), Memory(torch.randn(2, 5, 6, dtype=torch.double))
    weights = attention.weights(x, norm, memory, memory_norm)
    _, values = attention.keys_values(memory, memory_norm)
    expected = attention.output(merge_heads(split_heads(weights, 1) @ values))
    torch.testing.assert_close(attention(x, norm, memory, memory_norm), expected)


@pytest.mark.parametrize("pooler", [None, "single", "parallel", "cascade"])
def test_captions_attend_to_patches(pooler: PoolerKind | None):
    torch.manual_seed(0)
    model = SyCoCa(
        SyCoCaConfig(
            image_encoder=ImageEncoderConfig(
                image_size=16,
                patch_size=8,
                width=12,
                depth=1,
                num_heads=2,
                pooling="cls" if pooler is None else "attention",
                pooler=AttentionPoolerConfig(kind=pooler or "cascade", num_queries=3, width=12, num_heads=2),
            ),
            text_encoder=TextEncoderConfig(vocab_size=20, context_length=8, width=16, depth=1, num_heads=2),
            text_decoder=TextDecoderConfig(depth=2, num_heads=2),
            image_decoder=None,
            embed_dim=12,
        )
    ).double()
    tokens = torch.randint(3, 20, (2, 5))
    images = model.encode_images(torch.randn(2, 3, 16, 16, dtype=torch.double))
    states = model.encode_texts(tokens, torch.zeros_like(tokens, dtype=torch.bool)).token_states
    attention = model.caption_attention(images, states)
    assert attention.shape == (2, 2, 5, 4)
    totals = attention.sum(3)
    if pooler is None:
        torch.testing.assert_close(totals, torch.ones_like(totals))
    else:
        assert ((totals > 0.3) & (totals < 1)).all(), "the rest goes to [CLS]"
    layers = model.text_decoder.attention_weights(states, model.memory(images))
    torch.testing.assert_close(layers.sum(3), torch.ones_like(totals))
