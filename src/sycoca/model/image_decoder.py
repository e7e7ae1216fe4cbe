"""The image decoder: it predicts the pixels of masked patches from the visible ones and the caption."""

from typing import cast, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sycoca.model.attention import Memory
from sycoca.model.decoder_configs import ImageDecoderConfig
from sycoca.model.patches import gather_patches, resize_positions
from sycoca.model.transformer import CrossBlock, SelfBlock, init_blocks, layer_norm
from sycoca.records import MaskedPatches


@final
class ImageDecoder(nn.Module):
    """The decoder of text-guided masked image modeling (SyCoCa, arXiv 2401.02137), counterpart of the text decoder.

    A layer is self-attention with an MLP and then, unless the text guidance is switched off, cross-attention to
    the caption's token states with an MLP. Learned position embeddings are added to every patch, since mask tokens
    carry none of the encoder's.
    """

    def __init__(
        self,
        config: ImageDecoderConfig,
        *,
        num_patches: int,
        patch_pixels: int,
        image_width: int,
        text_width: int,
    ) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Linear(image_width, config.width)
        self.positions = nn.Parameter(torch.empty(num_patches, config.width))
        self.mask_token = None if config.masks_in_image_encoder else nn.Parameter(torch.empty(config.width))
        self.self_blocks = nn.ModuleList(SelfBlock(config.width, config.num_heads) for _ in range(config.depth))
        self.cross_blocks = nn.ModuleList(
            CrossBlock(config.width, text_width, config.num_heads)
            for _ in range(config.depth if config.is_text_guided else 0)
        )
        self.norm_final = layer_norm(config.width)
        self.pixels = nn.Linear(config.width, patch_pixels)
        self.features = nn.Linear(config.width, image_width) if config.predicts_features else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize the blocks as CLIP does, positions and mask token normal with std 0.02 (MAE)."""
        depth = len(self.self_blocks) + len(self.cross_blocks)
        init_blocks(self.self_blocks, self.config.width, depth)
        init_blocks(self.cross_blocks, self.config.width, depth)
        for linear in (self.embedding, self.pixels, *(() if self.features is None else (self.features,))):
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
            nn.init.zeros_(linear.bias)
        nn.init.normal_(self.positions, std=0.02)
        if self.mask_token is not None:
            nn.init.normal_(self.mask_token, std=0.02)

    def forward(
        self,
        patch_tokens: Float[Tensor, "batch encoded image_width"],
        visible: Int[Tensor, "batch visible"],
        masked: Int[Tensor, "batch masked"],
        token_states: Float[Tensor, "batch tokens text_width"],
        is_padding: Bool[Tensor, "batch tokens"],
    ) -> MaskedPatches:
        """Return the pixels of the masked patches, and their features, in the order of ``masked``.

        ``patch_tokens`` are those of the visible patches, in the order of ``visible``; or those of all patches
        where the image encoder already got mask tokens for the masked ones.
        """
        num_masked = masked.shape[1]
        positions = resize_positions(self.positions, visible.shape[1] + num_masked)
        positions = positions.expand(len(patch_tokens), -1, -1)
        x = self.embedding(patch_tokens)
        if self.mask_token is None:
            x = torch.cat([gather_patches(x, visible), gather_patches(x, masked)], dim=1)
        else:
            x = torch.cat([x, self.mask_token.to(x.dtype).expand(len(x), num_masked, -1)], dim=1)
        x = x + gather_patches(positions, torch.cat([visible, masked], dim=1))
        x = self.norm_final(self._blocks(x, num_masked, Memory(token_states, ~is_padding)))
        features = None if self.features is None else self.features(x)
        return MaskedPatches(pixels=self.pixels(x), features=features)

    def _blocks(
        self,
        x: Float[Tensor, "batch patches width"],
        num_masked: int,
        caption: Memory,
    ) -> Float[Tensor, "batch masked width"]:
        for i, self_block in enumerate(self.self_blocks):
            # The last layer's output for visible patches is not used.
            is_last = i == len(self.self_blocks) - 1
            x = self_block(x, is_causal=False, num_queries=num_masked if is_last else None)
            if self.config.is_text_guided:
                cross_block = cast(CrossBlock, self.cross_blocks[i])
                x = cross_block(x, caption)
        return x
