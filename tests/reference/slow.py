"""Plain, slow reference implementations for comparison with the fast ones."""

import math

import torch
from torch import Tensor


def attention(queries: Tensor, keys: Tensor, values: Tensor, may_attend: Tensor) -> Tensor:
    """Attention of one head of one sample, query by query: (queries, features), (keys, features) twice."""
    out = []
    for q, query in enumerate(queries):
        logits = [
            float(query @ key) / math.sqrt(len(query)) if bool(may_attend[q, k]) else -math.inf
            for k, key in enumerate(keys)
        ]
        largest = max(logits)
        shares = [math.exp(logit - largest) for logit in logits]
        out.append(sum((share / sum(shares)) * value for share, value in zip(shares, values, strict=True)))
    return torch.stack([torch.as_tensor(row) for row in out])


def contrastive(
    image_embeds: Tensor, text_embeds: Tensor, scale: float, keys: list[tuple[int, int]] | None = None
) -> float:
    """InfoNCE pair by pair; pairs with the image or the caption of another, by their keys, are no negatives of it."""
    total = 0.0
    for i in range(len(image_embeds)):
        others = [
            j
            for j in range(len(image_embeds))
            if j != i and (keys is None or (keys[i][0] != keys[j][0] and keys[i][1] != keys[j][1]))
        ]
        to_texts = {j: scale * float(image_embeds[i] @ text_embeds[j]) for j in (i, *others)}
        to_images = {j: scale * float(text_embeds[i] @ image_embeds[j]) for j in (i, *others)}
        for logits in (to_texts, to_images):
            total -= logits[i] - math.log(sum(math.exp(logit) for logit in logits.values()))
    return total / (2 * len(image_embeds))


def captioning(logits: Tensor, tokens: Tensor, is_padding: Tensor) -> float:
    """Mean negative log-likelihood of every real token after the first; logits (batch, tokens, vocab)."""
    losses = []
    for i in range(len(tokens)):
        for position in range(tokens.shape[1] - 1):
            if not is_padding[i, position + 1]:
                log_probabilities = logits[i, position].log_softmax(-1)
                losses.append(-float(log_probabilities[tokens[i, position + 1]]))
    return sum(losses) / len(losses)


def masked_image(predicted: Tensor, images: Tensor, is_masked: Tensor, patch_size: int, *, normalizes: bool) -> float:
    """Mean squared error patch by patch, cut out of the image by hand."""
    columns = images.shape[3] // patch_size
    samples = []
    for i in range(len(images)):
        errors, rank = [], 0
        for patch in range(is_masked.shape[1]):
            if not is_masked[i, patch]:
                continue
            top, left = (patch // columns) * patch_size, (patch % columns) * patch_size
            pixels = images[i, :, top : top + patch_size, left : left + patch_size].flatten()
            if normalizes:
                pixels = (pixels - pixels.mean()) / math.sqrt(float(pixels.var()) + 1e-6)
            errors.append(float((predicted[i, rank] - pixels).square().mean()))
            rank += 1
        samples.append(sum(errors) / len(errors))
    return sum(samples) / len(samples)


def token_max_score(patch_embed: Tensor, token_embeds: Tensor, counts: Tensor) -> float:
    """Maximum cosine of one patch over the tokens that count."""
    return max(float(patch_embed @ token) for token, does in zip(token_embeds, counts, strict=True) if does)
