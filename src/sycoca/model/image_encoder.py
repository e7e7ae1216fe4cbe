"""The image encoder: a vision transformer from pixels to patch tokens and one global feature."""

from typing import assert_never, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sycoca.model.config import ImageEncoderConfig
from sycoca.model.patches import gather_patches, patchify, resize_positions
from sycoca.model.poolers import AttentionPooling, MapHead
from sycoca.model.rotary import Rotation, patch_angles, rotation_at
from sycoca.model.transformer import SelfBlock, init_blocks, layer_norm
from sycoca.precision import at_least_float32

POSITION_STD = 0.5
"""Standard deviation of the initial position embeddings, near that of patch embeddings. CLIP's width^-1/2 is small
beside them, and positions are then learned hundreds of steps later (docs/log.md)."""

_POOLING = ("norm_post.", "pooling.", "map_head.", "projection.")
"""Beginnings of the names of the tensors behind the last block."""


@final
class ImageEncoder(nn.Module):
    """ViT (arXiv 2010.11929) as in CLIP: with a LayerNorm before the blocks and a projection into the joint space."""

    def __init__(self, config: ImageEncoderConfig, embed_dim: int, *, has_mask_token: bool = False) -> None:
        super().__init__()
        self.config = config
        # Learned position embeddings contain the bias.
        self.patch_embedding = nn.Linear(config.patch_pixels, config.width, bias=not config.has_learned_positions)
        num_extra = int(config.form.has_cls_token)
        self.cls_token = nn.Parameter(torch.empty(config.width)) if num_extra else None
        self.registers = nn.Parameter(torch.empty(config.num_registers, config.width)) if config.num_registers else None
        num_positions = num_extra + config.num_patches
        self.positions = (
            nn.Parameter(torch.empty(num_positions, config.width)) if config.has_learned_positions else None
        )
        self.mask_token = nn.Parameter(torch.empty(config.width)) if has_mask_token else None
        self.norm_pre = layer_norm(config.width, config.norm_eps) if config.has_norm_pre else nn.Identity()
        self.blocks = nn.ModuleList(
            SelfBlock(
                config.width,
                config.num_heads,
                config.activation,
                mlp_width=config.mlp_width,
                norm_eps=config.norm_eps,
            )
            for _ in range(config.depth)
        )
        if config.form.has_pooler:
            self.norm_post, self.pooling = None, AttentionPooling(config.pooler, config.width)
        else:
            self.norm_post, self.pooling = layer_norm(config.width, config.norm_eps), None
        self.map_head = MapHead(config) if config.form.has_map_head else None
        self.projection = (
            nn.Linear(config.output_width, embed_dim, bias=False) if config.is_projected else nn.Identity()
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize as CLIP does, normal with std width^-1/2, except for larger position embeddings."""
        init_blocks(self.blocks, self.config.width, self.config.depth)
        nn.init.normal_(self.patch_embedding.weight, std=self.config.patch_pixels**-0.5)
        if isinstance(self.projection, nn.Linear):
            nn.init.normal_(self.projection.weight, std=self.config.output_width**-0.5)
        if self.patch_embedding.bias is not None:
            nn.init.zeros_(self.patch_embedding.bias)
        if self.positions is not None:
            nn.init.normal_(self.positions, std=POSITION_STD)
        for embedding in (self.cls_token, self.registers, self.mask_token):
            if embedding is not None:
                nn.init.normal_(embedding, std=self.config.width**-0.5)

    def trunk(self) -> dict[str, Tensor]:
        """Return the tensors on which ``forward`` depends, by name: all but those that pool and project its outputs."""
        return {name: own for name, own in self.state_dict(keep_vars=True).items() if not name.startswith(_POOLING)}

    def forward(
        self,
        images: Float[Tensor, "batch 3 height width"],
        *,
        visible: Int[Tensor, "batch kept"] | None = None,
        is_masked: Bool[Tensor, "batch patches"] | None = None,
        residual_factors: Float[Tensor, "batch depth 2"] | None = None,
    ) -> tuple[Float[Tensor, "batch extra features"], Float[Tensor, "batch encoded features"]]:
        """Return the outputs of the last block for [CLS] (where there is one) and for the patches.

        With ``visible`` only these patches are encoded, so nothing of the others can leak (MAE). With ``is_masked`` a
        learned mask token replaces masked patches (SimMIM). ``residual_factors`` multiply the residual branches of
        attention and MLP of every block (stochastic depth). For images of another size than the configured one,
        learned position embeddings are interpolated; rotary ones need not be square.
        """
        num_extra = 0 if self.cls_token is None else 1
        rotation = self._rotation(images, visible)
        x = self.norm_pre(self._embedded(images, visible, is_masked))
        for i, block in enumerate(self.blocks):
            factors = None if residual_factors is None else residual_factors[:, i]
            x = block(x, is_causal=False, residual_factors=factors, rotation=rotation)
        return x[:, :num_extra], x[:, num_extra + self.config.num_registers :]

    def embed(
        self,
        cls_tokens: Float[Tensor, "batch extra width"],
        patch_tokens: Float[Tensor, "batch patches width"],
    ) -> Float[Tensor, "batch embed"]:
        """Pool the tokens and project them into the joint space, not yet normalized."""
        match self.config.pooling:
            case "cls" | "attention" | "map":
                return self.projection(self.features(cls_tokens, patch_tokens))
            case "mean":
                return self.embed_patches(patch_tokens).mean(dim=1)
            case "max":
                # One patch that shows an object suffices. Under the mean, features of an object spread over the
                # background, whose patches then score higher than those of the object.
                return self.embed_patches(patch_tokens).amax(dim=1)
            case unknown:
                assert_never(unknown)

    def features(
        self,
        cls_tokens: Float[Tensor, "batch extra width"],
        patch_tokens: Float[Tensor, "batch patches width"],
    ) -> Float[Tensor, "batch features"]:
        """Pool the tokens without projecting them, the features of linear probes (CLIP, arXiv 2103.00020, 3.2)."""
        match self.config.pooling:
            case "cls":
                return self._norm_post(cls_tokens)[:, 0]
            case "mean":
                return self._norm_post(patch_tokens).mean(dim=1)
            case "max":
                return self._norm_post(patch_tokens).amax(dim=1)
            case "attention":
                assert self.pooling is not None
                return self.pooling.feature(torch.cat([cls_tokens, patch_tokens], dim=1))
            case "map":
                assert self.map_head is not None
                return self.map_head.feature(self._norm_post(patch_tokens))
            case unknown:
                assert_never(unknown)

    def embed_patches(self, patch_tokens: Float[Tensor, "batch patches width"]) -> Float[Tensor, "batch patches embed"]:
        """Project every patch into the joint space by itself, not yet normalized.

        With attention pooling and a MAP head this is what they would return if they attended to this patch alone (the
        value path, as in MaskCLIP, arXiv 2112.01071).
        """
        if self.map_head is not None:
            return self.projection(self.map_head.feature_of_each(self._norm_post(patch_tokens)))
        if self.pooling is None:
            return self.projection(self._norm_post(patch_tokens))
        return self.projection(self.pooling.feature_of_each(patch_tokens))

    def memory(
        self, cls_tokens: Float[Tensor, "batch extra width"], patch_tokens: Float[Tensor, "batch kept width"]
    ) -> Float[Tensor, "batch memory memory_width"]:
        """Return the text decoder's memory: the patch tokens, or the pooler's outputs."""
        if self.pooling is None:
            return self._norm_post(patch_tokens) if self.config.norms_memory else patch_tokens
        return self.pooling.memory(torch.cat([cls_tokens, patch_tokens], dim=1))

    def _embedded(
        self,
        images: Float[Tensor, "batch 3 height width"],
        visible: Int[Tensor, "batch kept"] | None,
        is_masked: Bool[Tensor, "batch patches"] | None,
    ) -> Float[Tensor, "batch positions features"]:
        """Return the input of the blocks: [CLS], registers and patches, with learned positions where there are any."""
        pixels = patchify(images, self.config.patch_size)
        positions = None if self.positions is None else resize_positions(self.positions, pixels.shape[1])
        if visible is not None:
            pixels = gather_patches(pixels, visible)
        x = self.patch_embedding(pixels)
        if is_masked is not None:
            x = self._with_mask_tokens(x, is_masked)
        cls_token = self.cls_token
        if positions is None:
            # Under autocast the residual stream has the dtype of the parameters, as where positions are added.
            x = x.to(torch.promote_types(x.dtype, self.patch_embedding.bias.dtype))
        else:
            of_patches = positions if cls_token is None else positions[1:]
            of_patches = of_patches.expand(images.shape[0], -1, -1)
            x = x + (of_patches if visible is None else gather_patches(of_patches, visible))
            cls_token = None if cls_token is None else cls_token + positions[0]
        extra = [one for one in (cls_token, self.registers) if one is not None]
        rows = [torch.atleast_2d(one).to(x.dtype).expand(x.shape[0], -1, -1) for one in extra]
        return torch.cat([*rows, x], dim=1) if extra else x

    def _rotation(
        self, images: Float[Tensor, "batch 3 height width"], visible: Int[Tensor, "batch kept"] | None
    ) -> Rotation | None:
        match self.config.position_embedding:
            case "learned":
                return None
            case "rotary":
                config, rows, columns = self.config, *(side // self.config.patch_size for side in images.shape[2:])
                like = at_least_float32(self.patch_embedding.bias)
                angles = patch_angles((rows, columns), config.width // config.num_heads, config.rope_theta, like)
                num_extra = config.num_registers + (0 if self.cls_token is None else 1)
                return rotation_at(angles, num_extra, visible)
            case unknown:
                assert_never(unknown)

    def _norm_post(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
        assert self.norm_post is not None, "attention pooling has its own norm"
        return self.norm_post(x)

    def _with_mask_tokens(
        self, x: Float[Tensor, "batch patches width"], is_masked: Bool[Tensor, "batch patches"]
    ) -> Float[Tensor, "batch patches width"]:
        if self.mask_token is None:
            raise ValueError("this image encoder has no mask token: set model.image_decoder.mask_tokens to 'encoder'")
        return torch.where(is_masked.unsqueeze(-1), self.mask_token.to(x.dtype), x)
