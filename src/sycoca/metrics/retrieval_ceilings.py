"""The highest recall of image-text retrieval that any ranking reaches where captions or images are equal."""

from collections import Counter, defaultdict

from jaxtyping import Int
from torch import Tensor

from sycoca.metrics.retrieval import RECALL_AT, mean_recalls


def recall_ceilings(
    captions: Int[Tensor, " texts"], images: Int[Tensor, " images"], image_of_text: Int[Tensor, " texts"]
) -> dict[str, float]:
    """Return upper bounds of the recalls of `retrieval_metrics`, by their names, 0 to 1.

    ``captions`` and ``images`` hold a number that equal ones share. Equal candidates are ties, which count against the
    model, and equal queries rank all candidates alike, so that at most k of them find different ones among the first k.
    """
    owners, caption_of_text, value_of_image = image_of_text.tolist(), captions.tolist(), images.tolist()
    num_equal_texts, num_equal_images = Counter(caption_of_text), Counter(value_of_image)
    num_own = Counter(zip(caption_of_text, owners, strict=True))
    fewest_wrong_ties = [len(owners)] * len(value_of_image)
    for (caption, image), number in num_own.items():
        fewest_wrong_ties[image] = min(fewest_wrong_ties[image], num_equal_texts[caption] - number)
    ceilings: dict[str, float] = {}
    for k in RECALL_AT:
        images_within = Counter(
            value for value, ties in zip(value_of_image, fewest_wrong_ties, strict=True) if ties < k
        )
        texts_within: dict[int, list[int]] = defaultdict(list)
        for (caption, image), number in num_own.items():
            if num_equal_images[value_of_image[image]] <= k:
                texts_within[caption].append(number)
        hits_of_images = sum(min(k, number) for number in images_within.values())
        hits_of_texts = sum(sum(sorted(numbers)[-k:]) for numbers in texts_within.values())
        ceilings[f"image_to_text_recall_at_{k}"] = hits_of_images / len(value_of_image)
        ceilings[f"text_to_image_recall_at_{k}"] = hits_of_texts / len(owners)
    return ceilings | mean_recalls(ceilings)
