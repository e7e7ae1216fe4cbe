"""ITC with several captions of an image, positive by positive, in every form of the loss."""

from collections.abc import Sequence

import torch
from torch import Tensor

Captions = Sequence[Sequence[Tensor]]
"""The embeddings of the captions of every image."""

Keys = Sequence[tuple[int, Sequence[int]]]
"""The key of every image, and those of its captions."""


def belong_together(i: int, j: int, caption: int, keys: Keys | None) -> bool:
    """Whether image i belongs to a caption of image j: to its own, to those of a copy, and to copies of its own."""
    if i == j:
        return True
    return keys is not None and (keys[i][0] == keys[j][0] or keys[j][1][caption] in keys[i][1])


def infonce(images: Tensor, captions: Captions, scale: Tensor, keys: Keys | None, *, is_decoupled: bool) -> Tensor:
    """Mean over images, over their captions and over both directions."""
    total = torch.zeros((), dtype=torch.float64)
    places = [(j, d) for j, own in enumerate(captions) for d in range(len(own))]
    for i, own in enumerate(captions):
        for c, caption in enumerate(own):
            positive = (scale * (images[i] @ caption)).exp()
            to_texts = [images[i] @ captions[j][d] for j, d in places if not belong_together(i, j, d, keys)]
            to_images = [images[j] @ caption for j in range(len(images)) if not belong_together(j, i, c, keys)]
            for logits in (to_texts, to_images):
                if not logits:
                    continue
                negatives = (scale * torch.stack(logits)).exp().sum()
                denominator = negatives if is_decoupled else negatives + positive
                total = total + (denominator / positive).log().squeeze() / (2 * len(own))
    return total / len(images)


def sigmoid(images: Tensor, captions: Captions, scale: Tensor, bias: Tensor, keys: Keys | None) -> Tensor:
    """Mean over images of the sum over all images' captions, which are averaged."""
    total = torch.zeros((), dtype=torch.float64)
    for i in range(len(images)):
        for j, others in enumerate(captions):
            for d, caption in enumerate(others):
                if i != j and belong_together(i, j, d, keys):
                    continue
                sign = 1 if i == j else -1
                logit = scale * (images[i] @ caption) + bias
                total = total + (1 + (-sign * logit).exp()).log().squeeze() / len(others)
    return total / len(images)
