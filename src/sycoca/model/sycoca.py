"""The SyCoCa model of the paper: four components and a temperature; no losses, files or tokenizer."""

import math
from collections.abc import Iterator
from typing import assert_never, final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sycoca.facts.head_facts import HEADS
from sycoca.model.config import SyCoCaConfig
from sycoca.model.decoding_state import DecodingState
from sycoca.model.forms import PatchScore
from sycoca.model.heads import AnswerHead, ClassHead
from sycoca.model.image_decoder import ImageDecoder
from sycoca.model.image_encoder import ImageEncoder
from sycoca.model.key_value_cache import KeyValueCache
from sycoca.model.linear import Linear
from sycoca.model.logit_scale import INITIAL_LOGIT_BIAS, MAX_LOGIT_SCALE, initial_log_logit_scale
from sycoca.model.masking import caption_scores, is_word, token_max_scores
from sycoca.model.packed_matrices import PackedMatrices, forget_packed_matrices
from sycoca.model.packing import Packing
from sycoca.model.patches import PatchSplit, gather_patches
from sycoca.model.text_decoder import TextDecoder
from sycoca.model.text_encoder import TextEncoder
from sycoca.precision import at_least_float32
from sycoca.records import EncodedImages, EncodedTexts, Images, ImageTokens, MaskedPatches, pixels_of


@final
class SyCoCa(nn.Module):
    """A contrastive captioner with text-guided masked image modeling (arXiv 2401.02137)."""

    def __init__(self, config: SyCoCaConfig) -> None:
        super().__init__()
        self.config = config
        image, text = config.image_encoder, config.text_encoder
        decoder, image_decoder = config.text_decoder, config.image_decoder
        if decoder is not None and not text.form.is_causal:
            raise ValueError(
                f"text pooling {text.pooling} lets tokens attend to later ones, which a captioner would see"
            )
        self.image_encoder = ImageEncoder(
            image,
            config.embed_dim,
            has_mask_token=image_decoder is not None and image_decoder.masks_in_image_encoder,
        )
        self.text_encoder = TextEncoder(text, config.embed_dim)
        self.text_decoder = None if decoder is None else TextDecoder(decoder, text, image.output_width)
        self.image_decoder = (
            None
            if image_decoder is None
            else ImageDecoder(
                image_decoder,
                num_patches=image.num_patches,
                patch_pixels=image.patch_pixels,
                image_width=image.width,
                text_width=text.width,
            )
        )
        self.answer_head = None if config.num_answers is None else AnswerHead(text.width, config.num_answers)
        self.class_head = None if config.num_classes is None else ClassHead(image.output_width, config.num_classes)
        # Of shape (1,), since sharded training does not support scalars.
        self.log_logit_scale = nn.Parameter(torch.full((1,), initial_log_logit_scale(config)))
        self.logit_bias = nn.Parameter(torch.full((1,), INITIAL_LOGIT_BIAS)) if config.has_logit_bias else None

    @property
    def num_parameters(self) -> int:
        """Number of parameters of all components, those of int8 matrices included."""
        quantized = sum(linear.int8.shape.numel() for linear in _linears(self) if linear.int8 is not None)
        return sum(parameter.numel() for parameter in self.parameters()) + quantized

    @property
    def is_int8(self) -> bool:
        """Whether `quantize` was called; such a model has no gradients and is not saved."""
        return any(linear.int8 is not None for linear in _linears(self))

    def quantize(self) -> None:
        """Replace the matrices of attention, MLPs and vocabulary by int8 ones; all else is float32."""
        self.float()
        forget_packed_matrices(_linears(self))
        for linear in _linears(self):
            linear.quantize()

    def train(self, mode: bool = True) -> "SyCoCa":
        """Switch to training, or to evaluation for False; packed matrices take no memory while weights are trained."""
        if mode:
            forget_packed_matrices(_linears(self))
        return super().train(mode)

    def encode_images(
        self,
        images: Images,
        residual_factors: Float[Tensor, "batch depth 2"] | None = None,
        visible: Int[Tensor, "batch kept"] | None = None,
    ) -> EncodedImages:
        """Encode all patches of the images, or the ``visible`` ones as if there were no others.

        ``residual_factors`` are for stochastic depth, see `ImageEncoder`. Where the outputs of the encoder's blocks are
        given in place of pixels, they are only pooled.
        """
        if isinstance(images, ImageTokens) and visible is None:
            cls_tokens, patch_tokens = images.cls_tokens, images.patch_tokens
        else:
            pixels = pixels_of(images)
            cls_tokens, patch_tokens = self.image_encoder(pixels, visible=visible, residual_factors=residual_factors)
        pooled = self.image_encoder.embed(cls_tokens, patch_tokens)
        return EncodedImages(patch_tokens=patch_tokens, cls_tokens=cls_tokens, image_embeds=_normalize(pooled))

    def encode_texts(
        self,
        tokens: Int[Tensor, "batch tokens"],
        is_padding: Bool[Tensor, "batch tokens"],
        num_tokens: int | None = None,
    ) -> EncodedTexts:
        """Encode captions, padded on the right; a caption's embedding does not depend on the others.

        ``num_tokens`` is the number of tokens that are no padding: with it the host does not wait for a GPU to count.
        """
        token_states, pooled = self.text_encoder(tokens, is_padding, num_tokens=num_tokens)
        return EncodedTexts(token_states=token_states, text_embeds=_normalize(pooled))

    def patch_embeds(self, patch_tokens: Float[Tensor, "batch patches width"]) -> Float[Tensor, "batch patches embed"]:
        """Return every patch's embedding in the joint space, L2-normalized."""
        return _normalize(self.image_encoder.embed_patches(patch_tokens))

    def token_embeds(self, token_states: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens embed"]:
        """Return every token's embedding in the joint space, L2-normalized."""
        return _normalize(self.text_encoder.project_tokens(token_states))

    @torch.no_grad()
    def patch_scores(
        self,
        images: EncodedImages,
        texts: EncodedTexts,
        is_padding: Bool[Tensor, "batch tokens"],
        score: PatchScore,
    ) -> Float[Tensor, "batch patches"]:
        """Return the cosine similarity of every patch to its caption, without gradient."""
        patch_embeds = self.patch_embeds(images.patch_tokens)
        match score:
            case "token_max":
                counts = is_word(is_padding, has_bos=self.config.text_encoder.has_bos)
                return token_max_scores(patch_embeds, self.token_embeds(texts.token_states), counts)
            case "caption":
                return caption_scores(patch_embeds, texts.text_embeds)
            case unknown:
                assert_never(unknown)

    def memory(
        self, images: EncodedImages, kept: Int[Tensor, "batch kept"] | None = None
    ) -> Float[Tensor, "batch memory memory_width"]:
        """Return the text decoder's memory of all patches, or of the ``kept`` ones."""
        patch_tokens = images.patch_tokens if kept is None else gather_patches(images.patch_tokens, kept)
        return self.image_encoder.memory(images.cls_tokens, patch_tokens)

    def caption_states(
        self,
        token_states: Float[Tensor, "rows tokens width"],
        memory: Float[Tensor, "images memory memory_width"],
        packing: Packing | None = None,
        may_attend: Bool[Tensor, "images memory"] | None = None,
    ) -> Float[Tensor, "rows tokens width"]:
        """Return the text decoder's states, from which ``vocabulary_logits`` predicts the next token.

        Several captions of one image are consecutive rows, the same number for every image. States of padding have no
        meaning; with ``packing`` they are not computed. ``may_attend`` is False where memory is hidden.
        """
        return self._text_decoder()(token_states, memory, packing, may_attend)

    def answer_logits(
        self,
        questions: EncodedTexts,
        is_padding: Bool[Tensor, "batch tokens"],
        memory: Float[Tensor, "images memory memory_width"],
        num_tokens: int | None = None,
    ) -> Float[Tensor, "batch answers"]:
        """Return a logit per answer from the text decoder's state at the question's end, at least float32.

        Several questions about one image are consecutive rows, the same number for every image. ``num_tokens`` is as in
        ``encode_texts``.
        """
        if self.answer_head is None:
            raise ValueError(HEADS["answer_head"].missing)
        states = self.caption_states(questions.token_states, memory, Packing(~is_padding, num_tokens))
        return self.answer_head(states, is_padding)

    def class_logits(self, images: EncodedImages) -> Float[Tensor, "batch classes"]:
        """Return a logit per class from the pooled image, at least float32."""
        if self.class_head is None:
            raise ValueError(HEADS["class_head"].missing)
        return self.class_head(self.image_features(images))

    def image_features(self, images: EncodedImages) -> Float[Tensor, "batch features"]:
        """Return the pooled images before their projection into the joint space, for linear probes and class heads."""
        return self.image_encoder.features(images.cls_tokens, images.patch_tokens)

    @torch.no_grad()
    def caption_attention(
        self, images: EncodedImages, token_states: Float[Tensor, "batch tokens width"]
    ) -> Float[Tensor, "layers batch tokens patches"]:
        """Return how much the text decoder attends to every patch at every token, from which it predicts the next.

        By layer, the mean over the heads. Where the memory is pooled, its attention to the patches is followed
        (attention rollout, arXiv 2005.00928); what goes to [CLS] is left out, so rows may add up to less than 1.
        """
        weights = self._text_decoder().attention_weights(token_states, self.memory(images))
        pooling = self.image_encoder.pooling
        if pooling is None:
            return weights
        followed = pooling.memory_weights(torch.cat([images.cls_tokens, images.patch_tokens], dim=1))
        return weights @ followed[:, :, images.cls_tokens.shape[1] :].to(weights.dtype)

    def vocabulary_logits(self, states: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows vocab"]:
        """Return logits of the next token, at least float32; expensive, so pass only positions that have a label."""
        return self._text_decoder().logits(states)

    def predict_masked(
        self,
        images: Float[Tensor, "batch 3 height width"],
        masked: PatchSplit,
        token_states: Float[Tensor, "batch tokens text_width"],
        is_padding: Bool[Tensor, "batch tokens"],
        residual_factors: Float[Tensor, "batch depth 2"] | None = None,
    ) -> MaskedPatches:
        """Predict the masked patches (in ascending order) from the visible ones and the caption.

        ``masked`` are the patches of `choose_patches`, or a mask's by `split_by_mask`. The images are encoded a second
        time without the masked patches' pixels, so nothing of them can leak. ``residual_factors`` are for stochastic
        depth.
        """
        if self.image_decoder is None:
            raise ValueError("this model has no image decoder: its config.image_decoder is None")
        visible = masked.others
        if self.image_decoder.config.masks_in_image_encoder:
            _, patch_tokens = self.image_encoder(images, is_masked=masked.is_chosen, residual_factors=residual_factors)
        else:
            _, patch_tokens = self.image_encoder(images, visible=visible, residual_factors=residual_factors)
        return self.image_decoder(patch_tokens, visible, masked.chosen, token_states, is_padding)

    def reconstruct(
        self,
        images: Float[Tensor, "batch 3 height width"],
        masked: PatchSplit,
        token_states: Float[Tensor, "batch tokens text_width"],
        is_padding: Bool[Tensor, "batch tokens"],
    ) -> Float[Tensor, "batch masked pixels"]:
        """Return the pixels of `predict_masked`: the values of the training target, by default normalized per patch."""
        return self.predict_masked(images, masked, token_states, is_padding).pixels

    def logit_scale(self) -> Float[Tensor, " 1"]:
        """Return the factor by which cosine similarities are multiplied, the inverse temperature."""
        return self.log_logit_scale.exp()

    @torch.no_grad()
    def clamp_temperature(self) -> None:
        """Clamp the logit scale to values between 1 and 100; to be called after every step."""
        self.log_logit_scale.clamp_(0.0, math.log(MAX_LOGIT_SCALE))

    @torch.no_grad()
    def start_decoding(self, memory: Float[Tensor, "images memory memory_width"], max_tokens: int) -> DecodingState:
        """Return the state for decoding up to ``max_tokens`` tokens; computes each image's keys and values once."""
        decoder = self._text_decoder()
        return DecodingState(
            text_caches=[KeyValueCache(max_tokens) for _ in self.text_encoder.blocks],
            decoder_caches=[KeyValueCache(max_tokens) for _ in decoder.self_blocks],
            memory=decoder.keys_values(memory),
        )

    @torch.no_grad()
    def next_token_logits(self, tokens: Int[Tensor, "rows new"], state: DecodingState) -> Float[Tensor, "rows vocab"]:
        """Append tokens to every row and return the logits of the token after them, at least float32.

        Several tokens (a prompt) may be given at the start, one at a time afterwards. Without gradients; training uses
        ``caption_states``.
        """
        decoder = self._text_decoder()
        if state.matrices is None:
            linears = (*_linears(self.text_encoder), *_linears(decoder))
            state.matrices = PackedMatrices(linears, num_rows=len(tokens))
        with state.matrices.in_use():
            token_states = self.text_encoder.decode_step(tokens, state.text_caches)
            return decoder.logits(decoder.decode_step(token_states, state.decoder_caches, state.memory))

    def _text_decoder(self) -> TextDecoder:
        if self.text_decoder is None:
            raise ValueError("this model has no text decoder: its config.text_decoder is None")
        return self.text_decoder


def _linears(module: nn.Module) -> Iterator[Linear]:
    return (one for one in module.modules() if isinstance(one, Linear))


def _normalize(x: Float[Tensor, "*batch embed"]) -> Float[Tensor, "*batch embed"]:
    return F.normalize(at_least_float32(x), dim=-1)
