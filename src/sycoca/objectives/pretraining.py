"""Which masks feed which objective: the one place where model, masks and losses meet.

scores = how well each patch matches the caption                      (no gradient)
ITC      whole image   <-> whole caption
IC       best-matching patches -> caption                             (the rest is hidden)
TG-MIM   other patches + caption -> best-matching patches             (which are masked)
"""

from jaxtyping import Float
from torch import Tensor

from sycoca.model.config import MaskingConfig
from sycoca.model.masking import PatchChoice, choose_patches
from sycoca.model.patches import gather_patches, patchify, true_indices
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.captioning import captioning_loss
from sycoca.objectives.config import ObjectivesConfig
from sycoca.objectives.contrastive import Ranks, contrastive_loss
from sycoca.objectives.masked_image import masked_image_loss, normalize_patches
from sycoca.records import EncodedImages, EncodedTexts, ImageTextBatch, LossTerms


def pretraining_losses(
    model: SyCoCa,
    batch: ImageTextBatch,
    masking: MaskingConfig,
    objectives: ObjectivesConfig,
    ranks: Ranks,
) -> LossTerms:
    """Return the unweighted objectives of a batch (SyCoCa, arXiv 2401.02137); those of weight zero are None.

    Every term is divided by the batch's ``totals``, so the terms of all micro-batches and ranks add up to the
    global batch's means. Only ITC sees no further than the micro-batch across ranks.
    """
    images = model.encode_images(batch.images)
    texts = model.encode_texts(batch.tokens, batch.is_padding)
    hides = objectives.captioning_weight > 0 and masking.hides_from_captioning
    masks = objectives.masked_image_weight > 0
    choice = _choose(model, images, texts, batch, masking) if hides or masks else None
    contrastive = captioning = masked_image = None
    if objectives.contrastive_weight > 0:
        contrastive = contrastive_loss(
            images.image_embeds, texts.text_embeds, model.logit_scale(), batch.totals.num_samples, ranks
        )
    if objectives.captioning_weight > 0:
        captioning = _captioning(model, images, texts, batch, choice if hides else None)
    if masks:
        assert choice is not None
        masked_image = _masked_image(model, texts, batch, choice, objectives)
    return LossTerms(contrastive=contrastive, captioning=captioning, masked_image=masked_image)


def _choose(
    model: SyCoCa, images: EncodedImages, texts: EncodedTexts, batch: ImageTextBatch, masking: MaskingConfig
) -> PatchChoice:
    scores = model.patch_scores(images, texts, batch.is_padding, masking.score)
    return choose_patches(scores, masking, batch.draw_keys.tolist())


def _captioning(
    model: SyCoCa,
    images: EncodedImages,
    texts: EncodedTexts,
    batch: ImageTextBatch,
    choice: PatchChoice | None,
) -> Float[Tensor, ""]:
    kept = None if choice is None else true_indices(~choice.is_hidden)
    states = model.caption_states(texts.token_states[:, :-1], model.memory(images, kept))
    has_label = ~batch.is_padding[:, 1:]
    logits = model.vocabulary_logits(states[has_label])
    return captioning_loss(logits, batch.tokens[:, 1:][has_label], batch.totals.num_labels)


def _masked_image(
    model: SyCoCa,
    texts: EncodedTexts,
    batch: ImageTextBatch,
    choice: PatchChoice,
    objectives: ObjectivesConfig,
) -> Float[Tensor, ""]:
    predicted = model.reconstruct(batch.images, choice.is_masked, texts.token_states, batch.is_padding)
    patches = patchify(batch.images, model.config.image_encoder.patch_size)
    target = gather_patches(patches, true_indices(choice.is_masked))
    if objectives.normalizes_patches:
        target = normalize_patches(target)
    return masked_image_loss(predicted, target, objectives.pixel_error, batch.totals.num_samples)
