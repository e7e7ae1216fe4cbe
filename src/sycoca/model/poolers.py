"""Pooling of the image by learned queries: open_clip's attentional poolers, and the head of SigLIP."""

from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sycoca.model.attention import CrossAttention, Memory, attention_weights, merge_heads, split_heads
from sycoca.model.config import ImageEncoderConfig
from sycoca.model.linear import Linear
from sycoca.model.pooler_config import AttentionPoolerConfig
from sycoca.model.transformer import Mlp, layer_norm


@final
class AttentionPooler(nn.Module):
    """A fixed number of learned queries with one cross-attention layer."""

    def __init__(self, num_queries: int, width: int, memory_width: int, num_heads: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.empty(num_queries, width))
        self.norm_query = layer_norm(width)
        self.norm_memory = layer_norm(memory_width)
        self.attention = CrossAttention(width, memory_width, num_heads)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize queries normal with std 1 (open_clip), projections by their input's width, biases with zero."""
        nn.init.normal_(self.query)
        for linear in (self.attention.query, self.attention.key_value, self.attention.output):
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
            nn.init.zeros_(linear.bias)

    def forward(
        self, memory: Float[Tensor, "batch memory memory_width"], queries: slice = slice(None)
    ) -> Float[Tensor, "batch queries width"]:
        """Return the pooled output of every query, or of those in ``queries`` alone."""
        attention = self.attention
        projected = attention.query.after_norm(self.norm_query, self.query[queries]).expand(memory.shape[0], -1, -1)
        return attention.output(attention.attend(projected, *self._keys_values(memory)))

    def each_alone(self, memory: Float[Tensor, "batch keys memory_width"]) -> Float[Tensor, "batch keys width"]:
        """Return for every key the output of any query that attends to this key alone: the value path."""
        _, values = self._keys_values(memory)
        return self.attention.output(merge_heads(values))

    def weights(
        self, memory: Float[Tensor, "batch memory memory_width"], queries: slice = slice(None)
    ) -> Float[Tensor, "batch queries memory"]:
        """Return how much every query attends to every position, the mean over the heads."""
        attention = self.attention
        projected = attention.query.after_norm(self.norm_query, self.query[queries]).expand(memory.shape[0], -1, -1)
        keys, _ = self._keys_values(memory)
        return attention_weights(split_heads(projected, attention.num_heads), keys).mean(1)

    def _keys_values(
        self, memory: Float[Tensor, "batch keys memory_width"]
    ) -> tuple[Float[Tensor, "batch heads keys features"], Float[Tensor, "batch heads keys features"]]:
        return self.attention.keys_values(Memory(memory), self.norm_memory)


@final
class AttentionPooling(nn.Module):
    """One or two poolers: for the global feature and for the text decoder's memory.

    single: query 0 of one pooler is the global feature, the others are the memory; a norm comes last (open_clip's
    CoCa). parallel: one pooler for each, both on the normalized tokens. cascade: the same, but the global feature is
    pooled from the memory (CoCa, arXiv 2205.01917; both as in open_clip's coca2 models).
    """

    def __init__(self, config: AttentionPoolerConfig, image_width: int) -> None:
        super().__init__()
        self.form = form = config.form
        self.memory_pooler = AttentionPooler(config.num_queries, config.width, image_width, config.num_heads)
        self.norm = layer_norm(image_width if form.has_contrastive_pooler else config.width)
        contrastive_input = config.width if form.contrastive_reads_memory else image_width
        self.contrastive_pooler = (
            AttentionPooler(1, config.width, contrastive_input, config.num_heads)
            if form.has_contrastive_pooler
            else None
        )

    def feature(self, tokens: Float[Tensor, "batch keys width"]) -> Float[Tensor, "batch feature_width"]:
        """Return the global feature of the tokens."""
        if self.contrastive_pooler is None:
            return self.norm(self.memory_pooler(tokens, slice(1)))[:, 0]
        inputs = self.memory(tokens) if self.form.contrastive_reads_memory else self.norm(tokens)
        return self.contrastive_pooler(inputs)[:, 0]

    def feature_of_each(self, tokens: Float[Tensor, "batch keys width"]) -> Float[Tensor, "batch keys feature_width"]:
        """Return for every token the global feature of an image that consists of this token alone."""
        if self.contrastive_pooler is None:
            return self.norm(self.memory_pooler.each_alone(tokens))
        inputs = self.norm(tokens)
        if self.form.contrastive_reads_memory:
            inputs = self.memory_pooler.each_alone(inputs)
        return self.contrastive_pooler.each_alone(inputs)

    def memory(self, tokens: Float[Tensor, "batch keys width"]) -> Float[Tensor, "batch memory memory_width"]:
        """Return the text decoder's memory."""
        if self.contrastive_pooler is None:
            return self.norm(self.memory_pooler(tokens, slice(1, None)))
        return self.memory_pooler(self.norm(tokens))

    def memory_weights(self, tokens: Float[Tensor, "batch keys width"]) -> Float[Tensor, "batch memory keys"]:
        """Return how much every position of the memory attends to every token, the mean over the heads."""
        if self.contrastive_pooler is None:
            return self.memory_pooler.weights(tokens, slice(1, None))
        return self.memory_pooler.weights(self.norm(tokens))


@final
class MapHead(nn.Module):
    """Multihead attention pooling (MAP): one learned query attends to the patches, and an MLP follows.

    As in SigLIP (arXiv 2303.15343; first in arXiv 2106.04560, section 3.3), where a learned projection precedes the
    query: a constant of a constant, which a converted head's query contains.
    """

    def __init__(self, config: ImageEncoderConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.query = nn.Parameter(torch.empty(config.width))
        self.key_value = Linear(config.width, 2 * config.width)
        self.output = Linear(config.width, config.width)
        self.norm_mlp = layer_norm(config.width, config.norm_eps)
        self.mlp = Mlp(config.width, config.activation, config.mlp_width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize the query normal with std 1, projections by their input's width, biases with zero."""
        nn.init.normal_(self.query)
        for linear in (self.key_value, self.output, self.mlp.expand, self.mlp.contract):
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
            nn.init.zeros_(linear.bias)

    def feature(self, tokens: Float[Tensor, "batch keys width"]) -> Float[Tensor, "batch width"]:
        """Return the global feature of normalized tokens."""
        keys, values = (split_heads(part, self.num_heads) for part in self.key_value(tokens).chunk(2, -1))
        query = split_heads(self.query.to(keys.dtype).expand(tokens.shape[0], 1, -1), self.num_heads)
        attended = merge_heads(F.scaled_dot_product_attention(query, keys, values))
        return self._with_mlp(self.output(attended))[:, 0]

    def feature_of_each(self, tokens: Float[Tensor, "batch keys width"]) -> Float[Tensor, "batch keys width"]:
        """Return for every token the global feature of an image that consists of this token alone."""
        return self._with_mlp(self.output(self.key_value(tokens).chunk(2, -1)[1]))

    def _with_mlp(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
        return x + self.mlp(x, self.norm_mlp)
