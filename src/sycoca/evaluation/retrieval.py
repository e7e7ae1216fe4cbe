"""Image-text retrieval: every caption looks for its image, every image for one of its captions."""

import time

import torch
from rich.console import Console

from sycoca.data.samples import SampleSource, skipped_samples
from sycoca.evaluation.batches import num_evaluated, sample_batches
from sycoca.evaluation.report import ItemScores, Report
from sycoca.evaluation.shares import ALONE, Shares
from sycoca.inference.predictor import Predictor
from sycoca.metrics.retrieval import recall_per_item, retrieval_metrics, retrieval_ranks


def evaluate_retrieval(
    predictor: Predictor,
    source: SampleSource,
    *,
    batch_size: int = 64,
    limit: int | None = None,
    captions_per_image: int | None = None,
    console: Console | None = None,
    shares: Shares = ALONE,
) -> Report:
    """Return recall at 1, 5 and 10 and ranks in both directions, among all images and captions of the source.

    Zero-shot protocol of Flickr30k and COCO (Karpathy splits): an image's query is right with any of its captions, a
    tie counts against the model. ``captions_per_image`` takes the first so many (5 is COCO's convention).
    ``skipped_samples`` are those that the source has left out. Raises ValueError for a source without samples and a
    sample without captions.
    """
    started_at = time.perf_counter()
    if captions_per_image is not None and captions_per_image < 1:
        raise ValueError(f"captions_per_image must be at least 1, got {captions_per_image}; leave it out for all")
    num_images = num_evaluated(source, limit)
    captions_of = [source[index].captions[:captions_per_image] for index in range(num_images)]
    image_embeds, text_embeds = [], []
    first = shares.own(num_images).start
    for samples in sample_batches(source, num_images, batch_size, "embedding", console=console, shares=shares):
        captions = [caption for own in captions_of[first : first + len(samples)] for caption in own]
        first += len(samples)
        image_embeds.append(predictor.embed_images(samples, batch_size=batch_size))
        text_embeds.append(predictor.embed_texts(captions))
    embed_dim = predictor.model.config.embed_dim
    num_captions = [len(own) for own in captions_of]
    image_of_text = torch.arange(num_images).repeat_interleave(torch.tensor(num_captions))
    ranks = retrieval_ranks(shares.join(image_embeds, embed_dim), shares.join(text_embeds, embed_dim), image_of_text)
    num_cut = sum(
        predictor.tokenizer.num_tokens(text) > predictor.context_length for own in captions_of for text in own
    )
    keys = [source[index].key for index in range(num_images)]
    return Report(
        task="retrieval",
        metrics={**retrieval_metrics(ranks), "skipped_samples": float(len(skipped_samples(source)))},
        counts={"images": num_images, "captions": len(image_of_text), "truncated_captions": num_cut},
        settings={"data": source.name, "limit": limit, "captions_per_image": captions_per_image},
        seconds=time.perf_counter() - started_at,
        items={
            "image": ItemScores(keys=keys, values=recall_per_item("image_to_text", ranks.image_to_text)),
            "caption": ItemScores(
                keys=[f"{keys[image]}#{place}" for image, own in enumerate(captions_of) for place in range(len(own))],
                values=recall_per_item("text_to_image", ranks.text_to_image),
            ),
        },
    )
