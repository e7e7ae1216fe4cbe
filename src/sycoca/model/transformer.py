"""Pre-norm transformer blocks, with self- or cross-attention, and their initialization.

The blocks equal open_clip's (exact GELU, LayerNorm eps 1e-5, unless a converted model had others), so that weights
are converted by renaming alone.
"""

from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sycoca.model.attention import CrossAttention, Memory, SelfAttention
from sycoca.model.config import LAYER_NORM_EPS, MLP_RATIO
from sycoca.model.forms import GATED, Activation
from sycoca.model.key_value_cache import TokenCache
from sycoca.model.linear import Linear
from sycoca.model.packing import Packing
from sycoca.model.rotary import Rotation


@final
class LayerNorm(nn.LayerNorm):
    """PyTorch's LayerNorm, which also takes inputs of a wider type than its parameters, and then computes in theirs.

    Such are parameters that are gathered in bfloat16 (FSDP2), beside a residual stream in float32.
    """

    def forward(self, input: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows width"]:
        """Return the normalized input, scaled and shifted."""
        if torch.promote_types(input.dtype, self.weight.dtype) == self.weight.dtype:
            return super().forward(input)
        scale, shift = self.weight.to(input.dtype), self.bias.to(input.dtype)
        return F.layer_norm(input, self.normalized_shape, scale, shift, self.eps)


def layer_norm(width: int, eps: float = LAYER_NORM_EPS) -> nn.LayerNorm:
    """Return the LayerNorm that all components use, initialized to weight one and bias zero."""
    return LayerNorm(width, eps=eps)


@final
class Mlp(nn.Module):
    """Two linear layers around an activation."""

    def __init__(self, width: int, activation: Activation, hidden_width: int | None = None) -> None:
        super().__init__()
        hidden_width = MLP_RATIO * width if hidden_width is None else hidden_width
        self.activation: Activation = activation
        self.expand = Linear(width, 2 * hidden_width if GATED[activation] else hidden_width)
        self.contract = Linear(hidden_width, width)

    def forward(
        self, x: Float[Tensor, "batch length width"], norm: nn.LayerNorm
    ) -> Float[Tensor, "batch length width"]:
        """Normalize every position and transform it by itself."""
        return self.contract.after_activation(self.activation, self.expand.after_norm(norm, x))


@final
class SelfBlock(nn.Module):
    """Self-attention and an MLP, each with pre-norm and a residual connection."""

    def __init__(
        self,
        width: int,
        num_heads: int,
        activation: Activation = "gelu",
        *,
        mlp_width: int | None = None,
        norm_eps: float = LAYER_NORM_EPS,
    ) -> None:
        super().__init__()
        self.norm_attention = layer_norm(width, norm_eps)
        self.attention = SelfAttention(width, num_heads)
        self.norm_mlp = layer_norm(width, norm_eps)
        self.mlp = Mlp(width, activation, mlp_width)

    def forward(
        self,
        x: Float[Tensor, "batch length width"],
        *,
        is_causal: bool,
        cache: TokenCache | None = None,
        packing: Packing | None = None,
        may_attend: Bool[Tensor, "rows 1 positions positions"] | None = None,
        residual_factors: Float[Tensor, "batch 2"] | None = None,
        num_queries: int | None = None,
        rotation: Rotation | None = None,
    ) -> Float[Tensor, "batch queries width"]:
        """Apply attention, then the MLP; ``residual_factors`` scale both branches per row (0 drops them).

        With ``num_queries`` only that many positions, the last ones, are computed. All other arguments are those of
        `SelfAttention`.
        """
        attended = self.attention(
            x,
            self.norm_attention,
            is_causal=is_causal,
            cache=cache,
            packing=packing,
            may_attend=may_attend,
            num_queries=num_queries,
            rotation=rotation,
        )
        if num_queries is not None:
            x = x[:, -num_queries:]
        if residual_factors is None:
            x = x + attended
            return x + self.mlp(x, self.norm_mlp)
        attention_factor, mlp_factor = residual_factors.to(x)[:, :, None, None].unbind(1)
        x = x + attention_factor * attended
        return x + mlp_factor * self.mlp(x, self.norm_mlp)


@final
class CrossBlock(nn.Module):
    """Cross-attention and an MLP, as in every layer of open_clip's text decoder."""

    def __init__(self, width: int, memory_width: int, num_heads: int, activation: Activation = "gelu") -> None:
        super().__init__()
        self.norm_attention = layer_norm(width)
        self.norm_memory = layer_norm(memory_width)
        self.attention = CrossAttention(width, memory_width, num_heads)
        self.norm_mlp = layer_norm(width)
        self.mlp = Mlp(width, activation)

    def forward(
        self,
        x: Float[Tensor, "rows length width"],
        memory: Memory,
        packing: Packing | None = None,
    ) -> Float[Tensor, "rows length width"]:
        """Attend to the memory, then apply the MLP; see `CrossAttention`."""
        attended = self.attention(x, self.norm_attention, memory, self.norm_memory, packing)
        return self._with_mlp(x + attended)

    def attention_weights(
        self, x: Float[Tensor, "rows length width"], memory: Memory
    ) -> Float[Tensor, "rows length memory"]:
        """Return the attention weights of ``forward``, the mean over the heads."""
        return self.attention.weights(x, self.norm_attention, memory, self.norm_memory)

    def keys_values(
        self, memory: Memory
    ) -> tuple[Float[Tensor, "batch heads memory features"], Float[Tensor, "batch heads memory features"]]:
        """Return the memory's keys and values, for `with_keys_values`."""
        return self.attention.keys_values(memory, self.norm_memory)

    def with_keys_values(
        self,
        x: Float[Tensor, "rows length width"],
        keys: Float[Tensor, "images heads memory features"],
        values: Float[Tensor, "images heads memory features"],
    ) -> Float[Tensor, "rows length width"]:
        """Do the same with precomputed keys and values."""
        return self._with_mlp(x + self.attention.with_keys_values(x, self.norm_attention, keys, values))

    def _with_mlp(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
        return x + self.mlp(x, self.norm_mlp)


def init_blocks(blocks: nn.ModuleList, width: int, depth: int) -> None:
    """Initialize every tensor of the blocks as CLIP does: weights normal, biases zero, norms the identity.

    Source: openai/CLIP, ``initialize_parameters``: std width^-1/2 for the inputs of attention, (2 width)^-1/2 for those
    of MLPs; output projections are smaller by (2 depth)^-1/2, so that the variance of the residual stream does not
    grow with depth.
    """
    residual_std = width**-0.5 * (2 * depth) ** -0.5
    for block in blocks:
        for name, parameter in block.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif name.endswith(("output.weight", "contract.weight")):
                nn.init.normal_(parameter, std=residual_std)
            elif name.endswith("expand.weight"):
                nn.init.normal_(parameter, std=(2 * width) ** -0.5)
            else:
                # Queries, keys and values: by the width of their input, since a memory may have another one.
                nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
