"""CLIP_benchmark's side of the comparison: its evaluations of a stand-in model whose embeddings are given."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr
from types import SimpleNamespace

from clip_benchmark.metrics import zeroshot_classification, zeroshot_retrieval
from torch import Tensor

from evaluated_embeddings import NUMBER_WIDTH, Labeled, Paired

BATCH_SIZE = 64
"""Images per batch, the default of its command line."""


class Texts(list[str]):
    """Texts in the place of their token ids."""

    def to(self, _: str) -> "Texts":
        """Return the texts, which are on no device."""
        return self


class GivenEmbeddings:
    """A model whose images are their own embeddings, and whose texts are looked up."""

    def __init__(self, text_embeds: Callable[[Texts], Tensor]) -> None:
        self.encode_text = text_embeds

    def encode_image(self, images: Tensor) -> Tensor:
        """Return the images, which are embeddings."""
        return images


class Batches:
    """A loader of batches of images with what belongs to them."""

    def __init__(
        self, images: Tensor, targets: Sequence[Tensor] | Sequence[list[list[str]]], num_classes: int = 0
    ) -> None:
        self._images, self._targets = images, targets
        self.dataset = SimpleNamespace(classes=range(num_classes))

    def __len__(self) -> int:
        return len(self._targets)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor | list[list[str]]]]:
        return zip(self._images.split(BATCH_SIZE), self._targets, strict=True)


def zero_shot(data: Labeled) -> dict[str, float]:
    """Return acc1, acc5 and mean_per_class_recall, without autocast."""
    num_classes, num_templates, _ = data.prompts.shape
    with redirect_stderr(io.StringIO()):
        return zeroshot_classification.evaluate(
            GivenEmbeddings(data.prompt_embeds),
            Batches(data.images, data.labels.split(BATCH_SIZE), num_classes),
            Texts,
            [str(label) for label in range(num_classes)],
            [f"{{c}}{number:0{NUMBER_WIDTH}}" for number in range(num_templates)],
            "cpu",
            amp=False,
        )


def retrieval(data: Paired, recall_at: Sequence[int]) -> dict[str, float]:
    """Return recalls of both directions, without autocast."""
    texts_of: list[list[str]] = [[] for _ in data.images]
    for row, image in enumerate(data.image_of_text.tolist()):
        texts_of[image].append(str(row))
    batches = [texts_of[start : start + BATCH_SIZE] for start in range(0, len(texts_of), BATCH_SIZE)]
    with redirect_stderr(io.StringIO()):
        return zeroshot_retrieval.evaluate(
            GivenEmbeddings(lambda texts: data.texts[[int(text) for text in texts]]),
            Batches(data.images, batches),
            Texts,
            "cpu",
            amp=False,
            recall_k_list=list(recall_at),
        )
