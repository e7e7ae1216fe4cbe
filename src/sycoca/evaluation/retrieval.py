"""Image-text retrieval: text-to-image and image-to-text."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float, Int
from rich.console import Console
from torch import Tensor

from sycoca.data.samples import SampleSource, num_lost_captions, num_lost_samples, with_remarks
from sycoca.evaluation.batches import num_evaluated
from sycoca.evaluation.embeddings import ImageEmbeddings
from sycoca.evaluation.re_ranking import candidate_likelihoods
from sycoca.evaluation.remarks import retrieval_remarks
from sycoca.evaluation.report import ItemScores, Report
from sycoca.evaluation.sharding import ALONE, Sharding
from sycoca.facts.limit_facts import AbilityName
from sycoca.facts.metric_suffixes import CEILING
from sycoca.inference.predictor import Predictor
from sycoca.metrics.retrieval import (
    RetrievalRanks,
    equal_rows,
    first_candidates,
    per_item,
    retrieval_metrics,
    retrieval_ranks,
)
from sycoca.metrics.retrieval_ceilings import recall_ceilings
from sycoca.progress_bar import tracked
from sycoca.weights.limits import why_missing

_CAPTIONS_AT_ONCE = 4096
"""Captions that are sorted by length together; more would save no padding and show no progress."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrievalOptions:
    """Options of retrieval."""

    captions_per_image: int | None = None
    """Number of captions of each image, the first ones (5 is COCO's convention); None takes all."""

    re_rank: int | None = None
    """Number of top candidates of every query that are re-ranked by the log-likelihood of captions and reported, too;
    None does not re-rank."""

    def __post_init__(self) -> None:
        for name in ("captions_per_image", "re_rank"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}; leave it out for no limit")


def evaluate_retrieval(
    predictor: Predictor,
    source: SampleSource,
    *,
    options: RetrievalOptions | None = None,
    embeddings: ImageEmbeddings | None = None,
    batch_size: int = 64,
    limit: int | None = None,
    console: Console | None = None,
    sharding: Sharding = ALONE,
) -> Report:
    """Return recall at 1, 5 and 10 and ranks in both directions, among all images and captions of the source.

    Zero-shot protocol of Flickr30k and COCO (Karpathy splits): an image's query is right with any of its captions, a
    tie counts against the model. Where captions or images are equal, ..._ceiling is the highest that a recall can be.
    Metrics after re-ranking begin with ``re_ranked_``. ``embeddings`` of the same
    predictor spare computing images again. ``skipped_samples`` are those that the source has left out. Raises
    ValueError for a source without samples and a sample without captions.
    """
    started_at = time.perf_counter()
    options = RetrievalOptions() if options is None else options
    used: tuple[AbilityName, ...] = ("similarities",) if options.re_rank is None else ("similarities", "captions")
    if options.re_rank is not None and predictor.model.text_decoder is None:
        raise ValueError(f"re-ranking needs likelihoods of captions: {why_missing(predictor.config, 'text_decoder')}")
    if embeddings is None:
        embeddings = ImageEmbeddings(predictor, batch_size=batch_size, console=console, sharding=sharding)
    num_images = num_evaluated(source, limit)
    samples = [source[index] for index in range(num_images)]
    captions_of = [sample.captions[: options.captions_per_image] for sample in samples]
    captions = [caption for own in captions_of for caption in own]
    for sample, own in zip(samples, captions_of, strict=True):
        if not own:
            fault = f"{source.name}: {sample.key} has no caption, and retrieval needs one for every image"
            raise ValueError(with_remarks(fault, source))
    image_of_text = torch.arange(num_images).repeat_interleave(torch.tensor([len(own) for own in captions_of]))
    image_embeds = embeddings.of(source, num_images)
    text_embeds = embed_captions(predictor, captions, console=console, sharding=sharding)
    ranks = {"": retrieval_ranks(image_embeds, text_embeds, image_of_text)}
    if options.re_rank is not None:
        candidates = first_candidates(image_embeds, text_embeds, image_of_text, options.re_rank)
        likelihoods = candidate_likelihoods(
            predictor, samples, captions, candidates, batch_size=batch_size, console=console, sharding=sharding
        )
        ranks["re_ranked_"] = likelihoods.re_ranked(ranks[""], candidates, image_of_text)
    ceilings = lowered_ceilings(image_embeds, text_embeds, image_of_text)
    num_cut = predictor.num_truncated(captions)
    caption_keys = [
        f"{sample.key}#{place}" for sample, own in zip(samples, captions_of, strict=True) for place in range(len(own))
    ]
    return Report(
        task="retrieval",
        metrics={**named_metrics(ranks), **ceilings, "skipped_samples": float(num_lost_samples(source))},
        counts={
            "images": num_images,
            "captions": len(captions),
            "truncated_captions": num_cut,
            "left_out_captions": num_lost_captions(source),
        },
        settings={"data": source.name, "limit": limit, **asdict(options)},
        seconds=time.perf_counter() - started_at,
        items=retrieval_items(ranks, [sample.key for sample in samples], caption_keys, image_of_text.tolist()),
        remarks=(*predictor.cautions(*used), *retrieval_remarks(num_images, len(captions), ceilings)),
    )


def lowered_ceilings(
    image_embeds: Float[Tensor, "images embed"],
    text_embeds: Float[Tensor, "texts embed"],
    image_of_text: Int[Tensor, " texts"],
) -> dict[str, float]:
    """Return ..._ceiling of the recalls that cannot be 1 because captions or images have equal embeddings."""
    ceilings = recall_ceilings(equal_rows(text_embeds).value, equal_rows(image_embeds).value, image_of_text)
    return {f"{name}{CEILING}": value for name, value in ceilings.items() if value < 1}


def named_metrics(ranks: Mapping[str, RetrievalRanks]) -> dict[str, float]:
    """Return the metrics of several rankings; their keys are prefixes of the metrics' names."""
    return {f"{prefix}{name}": value for prefix, own in ranks.items() for name, value in retrieval_metrics(own).items()}


def retrieval_items(
    ranks: Mapping[str, RetrievalRanks],
    image_keys: Sequence[str],
    caption_keys: Sequence[str],
    image_of_text: Sequence[int],
) -> dict[str, ItemScores]:
    """Return the contributions of every image and caption to the metrics of several rankings."""
    of_images, of_captions = {}, {}
    for prefix, own in ranks.items():
        of_images |= per_item(f"{prefix}image_to_text", own.image_to_text)
        of_captions |= per_item(f"{prefix}text_to_image", own.text_to_image)
    return {
        "image": ItemScores(keys=image_keys, values=of_images),
        "caption": ItemScores(
            keys=caption_keys, values=of_captions, groups=[image_keys[image] for image in image_of_text]
        ),
    }


def embed_captions(
    predictor: Predictor, captions: Sequence[str], *, console: Console | None, sharding: Sharding = ALONE
) -> Float[Tensor, "captions embed"]:
    """Return the embeddings of the captions; each rank computes a shard.

    Captions of the same tokens are embedded once: the last bits of an embedding depend on the batch, and would rank
    captions that the model cannot tell apart.
    """
    row_of_tokens: dict[tuple[int, ...], int] = {}
    different, rows = [], []
    for caption in captions:
        tokens = tuple(predictor.tokenizer.encode(caption, predictor.context_length))
        row = row_of_tokens.setdefault(tokens, len(different))
        rows.append(row)
        if row == len(different):
            different.append(caption)
    own = sharding.own(len(different))
    starts = range(own.start, own.stop, _CAPTIONS_AT_ONCE)
    parts = [
        predictor.embed_texts(different[start : min(start + _CAPTIONS_AT_ONCE, own.stop)], warns=False)
        for start in tracked(starts, len(own), "embedding captions", console=console, step=_CAPTIONS_AT_ONCE)
    ]
    return sharding.join(parts, predictor.model.config.embed_dim)[rows]
