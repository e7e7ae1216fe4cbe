"""Predictor: the interface for users. Images and strings in, plain values out."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Unpack, final

import torch
from jaxtyping import Float
from torch import Tensor

from sycoca.data.class_lists import NamedClass, checked_templates, listed_classes, named_classes
from sycoca.inference.batches import joined_rows
from sycoca.inference.classification import PHOTO_TEMPLATES, PromptOptions, head_names, image_scorer, scorer_ability
from sycoca.inference.explaining.explainer import Explainer
from sycoca.inference.inputs import Images, image_batches
from sycoca.keywords import suggests_keywords
from sycoca.precision import check_finite


@final
class Predictor(Explainer):
    """A model with tokenizer and transforms: embeds, captions, answers, classifies, scores, reconstructs and explains.

    Images are one or many: PIL images, paths, bytes of a file, open files, NumPy arrays (height, width, channels),
    tensors (channels, height, width), or functions that open one; in lists, iterators (consumed once, batch by batch)
    or arrays with a dimension more. Pixels are RGB: uint8, uint16, floats from 0 to 1. Texts are lists. Results are on
    the CPU in float32, without gradients; one image gives a list of one, and an empty list an empty result.
    """

    @suggests_keywords
    def classify(
        self,
        images: Images,
        class_names: Iterable[str] | None = None,
        *,
        batch_size: int = 64,
        **options: Unpack[PromptOptions],
    ) -> list[str]:
        """Return the name of each image's most probable class; see `class_probabilities`."""
        names = head_names(self.config) if class_names is None else listed_classes(class_names)
        given = None if class_names is None else names
        probabilities = self.class_probabilities(images, given, batch_size=batch_size, **options)
        return [names[int(index)] for index in probabilities.argmax(1)]

    @suggests_keywords
    def class_probabilities(
        self,
        images: Images,
        class_names: Iterable[str] | None = None,
        *,
        batch_size: int = 64,
        **options: Unpack[PromptOptions],
    ) -> Float[Tensor, "images classes"]:
        """Return the probability of every class for every image, in the order of ``class_names``.

        Zero-shot: the names of any classes are put into prompts. Without names the classification head of a fine-tuned
        model chooses from ``config.class_names``.
        """
        classes = None if class_names is None else named_classes(class_names)
        scores = self.class_scores(images, classes, batch_size=batch_size, **options)
        num_classes = len(head_names(self.config) if classes is None else classes)
        return joined_rows((own.softmax(1) for own in scores), (num_classes,))

    @suggests_keywords
    def class_scores(
        self,
        images: Images,
        classes: Sequence[NamedClass] | None,
        *,
        batch_size: int = 64,
        **options: Unpack[PromptOptions],
    ) -> Iterator[Float[Tensor, "batch classes"]]:
        """Yield logits of the classes, or of the head's classes for None, batch by batch, float32 on the CPU."""
        if classes is not None:
            self._use(scorer_ability(options.get("scorer", "cosine")))
            options["templates"] = checked_templates(options.get("templates", PHOTO_TEMPLATES))
            self.check_prompts(classes, options["templates"])
        embed_texts = partial(self.embed_texts, warns=False)
        with torch.no_grad():
            score = image_scorer(self.model, self.config, self._tokens, embed_texts, classes, **options)
        for first, batch in image_batches(images, batch_size):
            with torch.no_grad():
                found = score(self.model.encode_images(self._pixels(batch, first))).float().cpu()
            check_finite(found, "row of class scores")
            yield found
