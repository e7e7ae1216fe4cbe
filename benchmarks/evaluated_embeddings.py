"""Embeddings to evaluate, random but structured like those of a model, and this library's evaluation of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sycoca.data.class_lists import NamedClass
from sycoca.evaluation.embedded_retrieval import score_retrieval
from sycoca.evaluation.embedding_files import EmbeddedPairs
from sycoca.inference.classification import class_embeds
from sycoca.metrics.classification import accuracy_metrics, class_ranks
from sycoca.precision import precise_product

NUMBER_WIDTH = 3
"""Digits of a template's number: a prompt is the number of its class, followed by that of its template."""


@dataclass(frozen=True, kw_only=True)
class Labeled:
    """Images with classes, and the prompts of the classes; embeddings are not normalized."""

    images: Tensor
    """Embeddings: images, embed."""

    labels: Tensor
    """The class of each image."""

    prompts: Tensor
    """Embeddings: classes, templates, embed."""

    def prompt_embeds(self, prompts: Sequence[str]) -> Tensor:
        """Return the embeddings of prompts that are numbers of class and template."""
        numbers = torch.tensor([int(prompt) for prompt in prompts])
        return self.prompts[numbers // 10**NUMBER_WIDTH, numbers % 10**NUMBER_WIDTH]


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Images with captions; embeddings are not normalized."""

    images: Tensor
    """Embeddings: images, embed."""

    texts: Tensor
    """Embeddings: captions, embed; those of an image follow each other, as in the data set."""

    image_of_text: Tensor
    """The image of each caption."""


def labeled_embeddings(num_images: int, num_classes: int, num_templates: int, embed_dim: int) -> Labeled:
    """Return classes of different frequencies, of which about half of the images are recognized."""
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(num_classes, embed_dim, generator=generator)
    frequencies = torch.rand(num_classes, generator=generator) + 0.1
    labels = torch.multinomial(frequencies, num_images, replacement=True, generator=generator)
    prompts = centers[:, None] + torch.randn(num_classes, num_templates, embed_dim, generator=generator)
    images = centers[labels] + 6 * torch.randn(num_images, embed_dim, generator=generator)
    return Labeled(images=images, labels=labels, prompts=prompts)


def paired_embeddings(num_images: int, texts_per_image: int, embed_dim: int) -> Paired:
    """Return captions that differ from their image by noise, so that a part of them is found."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(num_images, embed_dim, generator=generator)
    image_of_text = torch.arange(num_images).repeat_interleave(texts_per_image)
    noise = torch.randn(len(image_of_text), embed_dim, generator=generator)
    return Paired(images=images, texts=images[image_of_text] + 6 * noise, image_of_text=image_of_text)


def zero_shot(data: Labeled) -> dict[str, float]:
    """Return the metrics of ``sycoca evaluate zero-shot`` for given embeddings."""
    num_classes, num_templates, _ = data.prompts.shape
    classes = [NamedClass(label=str(label), wordings=(str(label),)) for label in range(num_classes)]
    templates = [f"{{}}{number:0{NUMBER_WIDTH}}" for number in range(num_templates)]
    columns = class_embeds(lambda prompts: F.normalize(data.prompt_embeds(prompts), dim=1), classes, templates).T
    ranks = class_ranks(precise_product(F.normalize(data.images, dim=1), columns), data.labels)
    return accuracy_metrics(ranks, data.labels)


def retrieval(data: Paired) -> dict[str, float]:
    """Return the metrics of ``sycoca score retrieval``."""
    pairs = EmbeddedPairs(
        images=data.images.numpy(),
        texts=data.texts.numpy(),
        image_of_text=data.image_of_text.numpy(),
        keys=[str(number) for number in range(len(data.images))],
    )
    return score_retrieval(pairs).metrics
