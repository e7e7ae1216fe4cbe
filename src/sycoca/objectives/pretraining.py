"""The pretraining losses: the only module that combines model, attentive masks and losses.

scores   similarity of each patch to the caption                      (no gradient)
ITC      whole image <-> whole caption
IC       best-matching patches -> caption                             (the others are hidden)
TG-MIM   other patches + caption -> best-matching patches             (which are masked)
"""

from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from sycoca.facts.objective_facts import MASKED_CAPTIONING
from sycoca.model.masking import PatchChoice
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.packing import Packing
from sycoca.model.patches import gather_patches, patchify
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.captioner_view import CaptionerView, captioner_view
from sycoca.objectives.captioning import captioning_loss
from sycoca.objectives.compared import ContrastForm, TextEmbeds
from sycoca.objectives.config import HAS_LOGIT_BIAS, ObjectivesConfig
from sycoca.objectives.contrastive import Ranks, cached_contrastive_loss, contrastive_loss
from sycoca.objectives.decoder_inputs import decoder_inputs
from sycoca.objectives.drop_path import residual_factors
from sycoca.objectives.encoded_captions import keys_to_compare
from sycoca.objectives.encoded_pairs import choose_for, encode_pairs
from sycoca.objectives.masked_image import masked_feature_loss, masked_image_loss, normalize_patches
from sycoca.objectives.patch_word import patch_word_term
from sycoca.objectives.schedules import masking_at, masks_images_at
from sycoca.records import EncodedImages, EncodedTexts, ImageTextBatch, LossTerms, MaskedPatches, pixels_of


class MaskedLosses(NamedTuple):
    """The losses of TG-MIM; None in steps without it, and where features are not predicted."""

    pixels: Float[Tensor, ""] | None = None
    features: Float[Tensor, ""] | None = None


MOST_LOGITS = 2**26
"""Maximum number of next-token logits in memory, 256 MiB in float32; more are computed in chunks, and recomputed in
the backward pass."""


def pretraining_losses(
    model: SyCoCa,
    batch: ImageTextBatch,
    masking: MaskingConfig,
    objectives: ObjectivesConfig,
    ranks: Ranks,
    drop_path: float | None = None,
) -> LossTerms:
    """Return the unweighted losses of a batch (SyCoCa, arXiv 2401.02137); those of weight zero are None, and TG-MIM in
    steps without it.

    Every term is divided by the batch's ``totals``, so the terms of all micro-batches and ranks sum to the means of the
    global batch. ITC is computed within the micro-batch across ranks, or taken from the batch's cached gradients of the
    whole batch. ``drop_path`` is the stochastic depth rate, see `residual_factors`.
    """
    factors = _drop_path_factors(model, batch, drop_path)
    masking = masking_at(masking, batch.progress)
    encoded = encode_pairs(model, batch, masking, objectives, factors)
    images, texts, choice = encoded.images, encoded.texts, encoded.choice
    hides = objectives.captioning_weight > 0 and masking.hides_from_captioning and not encoded.has_seen_patches_only
    masks = masks_images_at(objectives, batch.progress)
    if choice is None and (hides or masks):
        choice = choose_for(model, images, texts, batch, masking)
    contrastive = captioning = patch_word = None
    of_masked = MaskedLosses()
    if objectives.contrastive_weight > 0:
        contrastive = _contrastive(model, images, encoded.compared, batch, ranks, objectives)
    if objectives.captioning_weight > 0:
        hidden = choice.hidden if choice is not None and hides else None
        view = captioner_view(model, images, hidden, batch.draw_keys, masking.captioning_hidden_share)
        captioning = _captioning(model, view, texts, batch, objectives)
    if masks:
        assert choice is not None
        of_masked = _masked_losses(model, texts, batch, choice, objectives, factors)
    if objectives.patch_word_weight > 0:
        patch_word = patch_word_term(model, images, texts, batch, objectives)
    return LossTerms(
        contrastive=contrastive,
        captioning=captioning,
        masked_image=of_masked.pixels,
        masked_feature=of_masked.features,
        patch_word=patch_word,
    )


def held_out_losses(
    model: SyCoCa, batch: ImageTextBatch, masking: MaskingConfig, objectives: ObjectivesConfig
) -> dict[str, Tensor]:
    """Return the losses of a held-out batch by name; captioning sees all patches, as it does at inference.

    So does the image encoder, and every caption is predicted token by token from its image, whatever inputs training
    leaves out. Training hides the patches that match the caption least. So its captioning loss depends on the very
    caption that is predicted, and cannot be compared between models. Where training hides patches, this loss is
    returned as well, as ``masked_captioning``, for comparison with the training loss. All objectives are computed, and
    patches are hidden from the captions of all images, whatever share and steps of training.
    """
    objectives, batch = objectives.with_whole_inputs(), replace(batch, progress=None)
    if objectives.masked_feature_weight > 0:
        batch = replace(batch, teacher_tokens=teacher_tokens(model, batch))
    whole = replace(objectives, encoded_patches="all")
    as_used = pretraining_losses(model, batch, replace(masking, hides_from_captioning=False), whole, Ranks())
    losses: dict[str, Tensor] = {**as_used.named()}
    if objectives.captioning_weight > 0 and masking.hides_from_captioning:
        unused = ("contrastive_weight", "masked_image_weight", "masked_feature_weight", "patch_word_weight")
        off = dict.fromkeys(unused, 0.0)
        alone = replace(objectives, captions_per_image=1, **off)
        hiding = replace(masking, captioning_hidden_share=1.0)
        losses[MASKED_CAPTIONING] = pretraining_losses(model, batch, hiding, alone, Ranks()).named()["captioning"]
    return losses


@torch.no_grad()
def teacher_tokens(model: SyCoCa, batch: ImageTextBatch) -> Float[Tensor, "batch patches width"]:
    """Return what an image encoder, in training the one with averaged weights, makes of every patch of a batch."""
    _, patch_tokens = model.image_encoder(pixels_of(batch.images))  # no pooling, which TG-MIM does not need
    return patch_tokens


def embed_pairs(
    model: SyCoCa,
    batch: ImageTextBatch,
    masking: MaskingConfig,
    objectives: ObjectivesConfig,
    drop_path: float | None,
) -> tuple[Float[Tensor, "batch embed"], TextEmbeds]:
    """Return the embeddings of images and captions that `pretraining_losses` compares, to the last bit."""
    factors = _drop_path_factors(model, batch, drop_path)
    encoded = encode_pairs(model, batch, masking_at(masking, batch.progress), objectives, factors)
    return encoded.images.image_embeds, encoded.compared


def contrast_form(model: SyCoCa, objectives: ObjectivesConfig) -> ContrastForm:
    """Return the form of ITC, with the model's logit bias for the sigmoid loss; the others would cancel it.

    Raises ValueError where the loss needs a bias that the model does not have.
    """
    kind = objectives.contrastive_loss
    if not HAS_LOGIT_BIAS[kind]:
        return ContrastForm(kind=kind)
    if model.logit_bias is None:
        raise ValueError(f"objectives.contrastive_loss '{kind}' needs a model with model.has_logit_bias")
    return ContrastForm(kind=kind, logit_bias=model.logit_bias)


def _drop_path_factors(
    model: SyCoCa, batch: ImageTextBatch, rate: float | None
) -> Float[Tensor, "batch depth 2"] | None:
    if rate is None:
        return None
    return residual_factors(batch.draw_keys, model.config.image_encoder.depth, rate, batch.tokens.device)


def _contrastive(
    model: SyCoCa,
    images: EncodedImages,
    compared: TextEmbeds,
    batch: ImageTextBatch,
    ranks: Ranks,
    objectives: ObjectivesConfig,
) -> Float[Tensor, ""]:
    form = contrast_form(model, objectives)
    if batch.contrast is not None:
        return cached_contrastive_loss(
            images.image_embeds, compared, model.logit_scale(), batch.contrast, form.logit_bias
        )
    return contrastive_loss(
        images.image_embeds,
        compared,
        model.logit_scale(),
        batch.totals.num_samples,
        ranks,
        keys_to_compare(batch),
        objectives.contrastive_block_size,
        form,
    )


def _captioning(
    model: SyCoCa,
    view: CaptionerView,
    texts: EncodedTexts,
    batch: ImageTextBatch,
    objectives: ObjectivesConfig,
) -> Float[Tensor, ""]:
    num_labels = None if batch.num_tokens is None else batch.num_tokens - len(batch.tokens)
    with_label = Packing(~batch.is_padding[:, 1:], num_labels)
    states, memory = decoder_inputs(model, texts.token_states[:, :-1], view.memory, batch, objectives)
    padded = model.caption_states(states, memory, with_label, view.may_attend)
    states, labels = with_label.values(padded), with_label.values(batch.tokens[:, 1:])
    at_once = max(1, MOST_LOGITS // model.config.text_encoder.vocab_size)
    if len(labels) <= at_once:
        return _next_token_loss(model, states, labels, batch.totals.num_labels)
    return torch.stack(
        [
            checkpoint(
                _next_token_loss, model, *chunk, batch.totals.num_labels, use_reentrant=False, preserve_rng_state=False
            )
            for chunk in zip(states.split(at_once), labels.split(at_once), strict=True)
        ]
    ).sum()


def _next_token_loss(
    model: SyCoCa,
    states: Float[Tensor, "labels width"],
    labels: Int[Tensor, " labels"],
    num_labels: int | Int[Tensor, ""],
) -> Float[Tensor, ""]:
    return captioning_loss(model.vocabulary_logits(states), labels, num_labels)


def _masked_losses(
    model: SyCoCa,
    texts: EncodedTexts,
    batch: ImageTextBatch,
    choice: PatchChoice,
    objectives: ObjectivesConfig,
    factors: Float[Tensor, "batch depth 2"] | None,
) -> MaskedLosses:
    images = pixels_of(batch.images)
    predicted = model.predict_masked(images, choice.masked, texts.token_states, batch.is_padding, factors)
    patches = patchify(images, model.config.image_encoder.patch_size)
    target = gather_patches(patches, choice.masked.chosen)
    if objectives.normalizes_patches:
        target = normalize_patches(target)
    num_samples = batch.totals.num_samples
    return MaskedLosses(
        pixels=masked_image_loss(predicted.pixels, target, objectives.pixel_error, num_samples),
        features=_masked_feature(predicted, batch, choice, objectives),
    )


def _masked_feature(
    predicted: MaskedPatches, batch: ImageTextBatch, choice: PatchChoice, objectives: ObjectivesConfig
) -> Float[Tensor, ""] | None:
    if objectives.masked_feature_weight == 0:
        return None
    if batch.teacher_tokens is None or predicted.features is None:
        raise ValueError("objectives.masked_feature_weight needs a teacher and model.image_decoder.predicts_features")
    teacher = gather_patches(batch.teacher_tokens, choice.masked.chosen)
    return masked_feature_loss(predicted.features, teacher, batch.totals.num_samples)
