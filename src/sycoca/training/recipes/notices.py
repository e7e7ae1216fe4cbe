"""Warnings before the first step about truncated captions, repeated samples, and training that makes a model forget."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import torch

from sycoca.data.content_keys import normalized_caption
from sycoca.data.inspection.statistics import all_captions
from sycoca.data.samples import SampleSource
from sycoca.data.selection import SpreadSamples, is_large, spread_if_large
from sycoca.model.logit_scale import initial_log_logit_scale
from sycoca.model.sycoca import SyCoCa
from sycoca.preprocess.tokenizer import Tokenizer, may_be_longer
from sycoca.training.config import OptimizerConfig
from sycoca.training.engine.distributed.shards import own_shard
from sycoca.training.engine.optimization.optimizer import lr_scales
from sycoca.training.recipes.frozen_parts import trains_encoders

AVERAGE = "sycoca average of the weights before and after brings much of it back"
"""The remedy for forgetting (figures in docs/log.md)."""

KEEP_AND_AVERAGE = f"keep --objectives.contrastive-weight at 1 for data like this; for other data {AVERAGE}"
"""The remedy where the weight of the contrastive objective is configurable."""

HIGH_RATE = 1e-4
"""Models of some hundred million parameters are fine-tuned at lower rates: at 1e-5 in BLIP's captioning, and when LAION
fine-tuned CoCa for captions."""

LARGE_MODEL_PARAMETERS = 20_000_000
"""Loaded parameters from which a rate above `HIGH_RATE` is too high: a ViT-S/16. Presets of a few million need 1e-3."""

_MOST_COUNTED_SAMPLES = 10_000
"""Samples of a large source whose captions are counted."""


def repeated_samples_notice(source: SampleSource, global_batch_size: int) -> Iterator[str]:
    """Warn where a batch cannot be filled with different images, or with different captions.

    Copies are no negatives of each other in the contrastive loss, so it compares fewer pairs than the batch holds.
    """
    read = spread_if_large(source, max(_MOST_COUNTED_SAMPLES, 8 * global_batch_size))
    num_images, num_captions = _num_different(read, global_batch_size)
    num_different = min(num_images, num_captions)
    if num_different >= global_batch_size:
        return
    what = "image" if num_images <= num_captions else "caption"
    among = f" (among {len(read):,} samples)" if read is not source else ""
    times = f"{global_batch_size / num_different:,.1f} times on average"
    if num_different == 1:
        yield (
            f"a batch of {global_batch_size:,} holds one {what} only; copies are not compared with each other, so the"
            " contrastive loss is 0"
        )
        return
    yield (
        f"a batch of {global_batch_size:,} holds each of the {num_different:,} different {what}s{among} {times}; copies"
        " are not compared with each other, so smaller batches train as well: --training.global-batch-size"
        f" {num_different}"
    )


def uncached_notice(source: SampleSource, cache_images: bool) -> Iterator[str]:
    """Yield that images are read again in every epoch, where a config asks to keep those of a large source."""
    if cache_images and is_large(source):
        yield f"data.cache_images is off for the {len(source):,} samples of {source.name}, which would fill the memory"


def _num_different(source: SampleSource, most: int) -> tuple[int, int]:
    """Return the numbers of different images and captions of a source, counted until both reach ``most``."""
    images: set[object] = set()
    captions: set[str] = set()
    for index in range(len(source)):
        sample = source[index]
        images.add(sample.open_image)
        captions.update(map(normalized_caption, sample.captions))
        if min(len(images), len(captions)) >= most:
            break
    return len(images), len(captions)


def forgetting_notice(model: SyCoCa, remedy: str) -> Iterator[str]:
    """Warn that training without the contrastive objective forgets retrieval; ``remedy`` says what to do.

    No warning where the weights never learned retrieval (their temperature, which only the contrastive objective
    changes, still has its initial value) or where both encoders are frozen.
    """
    # Only the main process writes notices, so nothing may be gathered; a tensor of one value lies in its shard.
    logit_scale = own_shard(model.log_logit_scale).cpu()
    has_learned = not torch.equal(logit_scale, torch.full((1,), initial_log_logit_scale(model.config)))
    if has_learned and trains_encoders(model):
        yield (
            "training without the contrastive objective forgets retrieval and zero-shot classification (a"
            f" published CoCa fell from 54.6 % to 0.9 % text R@1 on COCO); {remedy}"
        )


def high_rate_notice(
    model: SyCoCa, loaded: Collection[str], optimizer: OptimizerConfig, lr_ratios: Mapping[str, float], remedy: str
) -> Iterator[str]:
    """Warn where the learning rate is too high for loaded weights; ``remedy`` names the flags that lower it."""
    sizes = {
        name: parameter.numel()
        for name, parameter in model.named_parameters()
        if name in loaded and parameter.requires_grad
    }
    num_loaded = sum(sizes.values())
    if num_loaded < LARGE_MODEL_PARAMETERS:
        return
    scales = lr_scales(model, optimizer, lr_ratios)
    rate = optimizer.peak_lr * (sum(size * scales[name] for name, size in sizes.items()) / num_loaded)
    if rate > HIGH_RATE:
        yield (
            f"the peak learning rate of the loaded weights ({num_loaded / 1e6:,.1f} M trainable parameters) is"
            f" {rate:.1e} on average: above {HIGH_RATE:.0e} models of this size forget; lower {remedy}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Truncation:
    """Training captions that are longer than the context."""

    num_captions: int
    """All captions that were read."""

    is_sample: bool = False
    """Whether the source has others that were not."""

    num_truncated: int
    """Those that are longer."""

    longest: int
    """Tokens of the longest of these; 0 without any."""

    context_length: int
    """Tokens of the context."""

    @property
    def ratio(self) -> float:
        """Fraction of the captions that are truncated; 0 without captions."""
        return self.num_truncated / max(1, self.num_captions)


def count_truncated(
    source: SampleSource, tokenizer: Tokenizer, context_length: int, *, with_generated: bool = False
) -> Truncation:
    """Count the captions of a source, or of some samples of a large one, that are longer than the context."""
    num_captions, too_long = 0, []
    read = spread_if_large(source, _MOST_COUNTED_SAMPLES)
    for caption in all_captions(read, with_generated=with_generated):
        num_captions += 1
        if may_be_longer(caption, context_length):
            num_tokens = tokenizer.num_tokens(caption)
            if num_tokens > context_length:
                too_long.append(num_tokens)
    return Truncation(
        num_captions=num_captions,
        is_sample=isinstance(read, SpreadSamples),
        num_truncated=len(too_long),
        longest=max(too_long, default=0),
        context_length=context_length,
    )


def truncation_notice(truncation: Truncation, remedy: str) -> Iterator[str]:
    """Yield how many training captions are longer than the context, where some are; ``remedy`` avoids that."""
    if truncation.num_truncated:
        sampled = "sampled " if truncation.is_sample else ""
        yield (
            f"{truncation.num_truncated:,} of {truncation.num_captions:,} {sampled}training captions are longer than"
            f" the context of {truncation.context_length} tokens (the longest has {truncation.longest:,}) and are"
            f" truncated; {remedy}"
        )
