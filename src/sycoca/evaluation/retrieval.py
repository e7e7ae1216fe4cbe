"""Image-text retrieval: every caption looks for its image, every image for one of its captions."""

import time

import torch
from rich.console import Console

from sycoca.data.samples import SampleSource, skipped_samples
from sycoca.evaluation.batches import num_evaluated, sample_batches
from sycoca.evaluation.report import Report
from sycoca.inference.predictor import Predictor
from sycoca.metrics.retrieval import retrieval_metrics, retrieval_ranks


def evaluate_retrieval(
    predictor: Predictor,
    source: SampleSource,
    *,
    batch_size: int = 64,
    limit: int | None = None,
    captions_per_image: int | None = None,
    console: Console | None = None,
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
    image_embeds, text_embeds, num_captions, num_cut = [], [], [], 0
    for samples in sample_batches(source, num_images, batch_size, "embedding", console=console):
        captions = [caption for sample in samples for caption in sample.captions[:captions_per_image]]
        image_embeds.append(predictor.embed_images(samples, batch_size=batch_size))
        text_embeds.append(predictor.embed_texts(captions))
        num_captions += [len(sample.captions[:captions_per_image]) for sample in samples]
        num_cut += sum(predictor.tokenizer.num_tokens(caption) > predictor.context_length for caption in captions)
    image_of_text = torch.arange(num_images).repeat_interleave(torch.tensor(num_captions))
    ranks = retrieval_ranks(torch.cat(image_embeds), torch.cat(text_embeds), image_of_text)
    return Report(
        task="retrieval",
        metrics={**retrieval_metrics(ranks), "skipped_samples": float(len(skipped_samples(source)))},
        counts={"images": num_images, "captions": len(image_of_text), "truncated_captions": num_cut},
        settings={"data": source.name, "limit": limit, "captions_per_image": captions_per_image},
        seconds=time.perf_counter() - started_at,
    )
