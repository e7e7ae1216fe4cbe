"""Pre-norm blocks, with and without a look at a memory, and how their tensors are initialized.

The blocks are open_clip's exactly (exact GELU, LayerNorm eps 1e-5, unless a converted model had others), so that
weights come in by renaming alone.
"""

from typing import final

from jaxtyping import Bool, Float
from torch import Tensor, nn

from sycoca.model.attention import LAYER_NORM_EPS, CrossAttention, Memory, SelfAttention, TokenCache
from sycoca.model.config import MLP_RATIO
from sycoca.model.forms import Activation
from sycoca.model.linear import Linear
from sycoca.model.packing import Packing


def layer_norm(width: int, eps: float = LAYER_NORM_EPS) -> nn.LayerNorm:
    """Return the layer norm that all components use; it starts as weight one, bias zero."""
    return nn.LayerNorm(width, eps=eps)


@final
class Mlp(nn.Module):
    """Two linear layers around an activation."""

    def __init__(self, width: int, activation: Activation, hidden_width: int | None = None) -> None:
        super().__init__()
        hidden_width = MLP_RATIO * width if hidden_width is None else hidden_width
        self.activation: Activation = activation
        self.expand = Linear(width, hidden_width)
        self.contract = Linear(hidden_width, width)

    def forward(
        self, x: Float[Tensor, "batch length width"], norm: nn.LayerNorm
    ) -> Float[Tensor, "batch length width"]:
        """Transform every position, normed, by itself."""
        return self.contract.of_activation(self.activation, self.expand.of_norm(norm, x))


@final
class SelfBlock(nn.Module):
    """Self-attention and an MLP, each behind a norm and beside a residual."""

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
    ) -> Float[Tensor, "batch queries width"]:
        """Mix positions, then features; both are multiplied by a row's ``residual_factors`` (0 leaves them out).

        With ``num_queries`` only the last so many positions are computed; see `SelfAttention`, also for the others.
        """
        attended = self.attention(
            x,
            self.norm_attention,
            is_causal=is_causal,
            cache=cache,
            packing=packing,
            may_attend=may_attend,
            num_queries=num_queries,
        )
        if num_queries is not None:
            x = x[:, -num_queries:]
        if residual_factors is None:
            x = x + attended
            return x + self.mlp(x, self.norm_mlp)
        of_attention, of_mlp = residual_factors.to(x)[:, :, None, None].unbind(1)
        x = x + of_attention * attended
        return x + of_mlp * self.mlp(x, self.norm_mlp)


@final
class CrossBlock(nn.Module):
    """Cross-attention and an MLP of its own, as every layer of open_clip's text decoder has them."""

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
        """Look at the memory, then mix features; see `CrossAttention`."""
        attended = self.attention(x, self.norm_attention, memory, self.norm_memory, packing)
        return self._mixed(x + attended)

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
        """Do the same with a memory whose keys and values are known."""
        return self._mixed(x + self.attention.with_keys_values(x, self.norm_attention, keys, values))

    def _mixed(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
        return x + self.mlp(x, self.norm_mlp)


def init_blocks(blocks: nn.ModuleList, width: int, depth: int) -> None:
    """Initialize every tensor of the blocks as CLIP does: weights normal, biases zero, norms the identity.

    Source: openai/CLIP, ``initialize_parameters``: inputs of attention width^-1/2, of MLPs (2 width)^-1/2; what
    is added to the residual stream is smaller by (2 depth)^-1/2, so that its variance does not grow with depth.
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
                # Queries, keys and values: by their own input, since a memory may have another width.
                nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
