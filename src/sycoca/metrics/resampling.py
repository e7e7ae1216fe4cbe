"""Confidence intervals of metrics by percentile bootstrap over test items (Efron, Annals of Statistics 7, 1979)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from jaxtyping import Float, Int

from sycoca.facts.metric_suffixes import MEAN_OF_TYPES, NEGATIVE_TYPE
from sycoca.metrics.bleu import corpus_bleu
from sycoca.metrics.chair import chair_metrics
from sycoca.metrics.intervals import Interval
from sycoca.metrics.rank_correlation import judged_correlations
from sycoca.metrics.yes_no import yes_no_metrics
from sycoca.randomness import derive_key

NUM_RESAMPLES = 2000
"""Enough for the ends of a 95 % interval."""

Values = Mapping[str, Float[np.ndarray, " items"]]
"""Values of every item, by name."""

Kinds = Mapping[str, Int[np.ndarray, " items_of_kind"]]
"""Indices of the items of each kind, by name; at least one per kind."""

NO_KINDS: Kinds = MappingProxyType({})
"""Items are not divided into kinds."""

Weights = Float[np.ndarray, "resamples items"]
"""How often each item occurs in each resample."""

_NUMBERS_AT_ONCE = 4_000_000
"""Number of weights in memory at a time: 32 MB."""


def metrics_of_items(
    values: Values, weights: Weights, kinds: Kinds = NO_KINDS
) -> dict[str, Float[np.ndarray, " resamples"]]:
    """Return every metric that can be computed from the items' values, for each row of weights.

    Every name is a mean over items; with the name of a kind as suffix, the mean over the items of that kind, NaN where
    a resample has none. Other metrics derive from these: ``..._median_rank`` from ranks, mean recalls from recalls,
    BLEU from its counts, ``caption_detail`` from facts, ``mean_class_accuracy`` from hits and classes, Kendall's tau
    from judgments, CHAIR from objects, precision and recall from answers, means over types from kinds.
    """
    num_items = weights.sum(axis=1)
    sums = {name: weights @ column for name, column in values.items()}
    metrics = {name: total / num_items for name, total in sums.items()}
    for name, column in values.items():
        if name.endswith("_mean_rank"):
            metrics[name.removesuffix("mean_rank") + "median_rank"] = _weighted_medians(column, weights)
    metrics |= _mean_recalls(metrics)
    if "bleu_matches_1" in sums:
        metrics |= corpus_bleu(sums)
    if "stated_facts" in sums:
        facts_per_reference = sums["reference_facts"] / sums["references"]
        metrics["caption_detail"] = metrics["stated_facts"] / facts_per_reference
    if {"true_class", "accuracy_top_1"} <= values.keys():
        metrics["mean_class_accuracy"] = _mean_over_classes(values["accuracy_top_1"], values["true_class"], weights)
    metrics |= judged_correlations(values, weights)
    metrics |= chair_metrics(sums)
    metrics |= yes_no_metrics(sums)
    of_kinds = {kind: _means(values, weights, places) for kind, places in kinds.items()}
    for kind, means in of_kinds.items():
        metrics |= {f"{name}_{kind}": mean for name, mean in means.items()}
    metrics |= _means_of_types([means for kind, means in of_kinds.items() if kind.startswith(NEGATIVE_TYPE)])
    return metrics


def bootstrap(
    statistic: Callable[[Weights], Mapping[str, Float[np.ndarray, " resamples"]]],
    clusters: Sequence[str],
    *,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
) -> dict[str, Float[np.ndarray, " resamples"]]:
    """Return the statistic of resamples of the items, drawn with replacement.

    ``clusters`` names the cluster of each item: items of one cluster (the captions of an image) are drawn together,
    since they are not independent. The draws depend only on the seed and the number of clusters.
    """
    cluster_of_item = np.unique(np.asarray(clusters, dtype=np.str_), return_inverse=True)[1]
    parts = [statistic(weights) for weights in _drawn_weights(cluster_of_item, seed, num_resamples)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def percentile_intervals(
    resamples: Mapping[str, Float[np.ndarray, " resamples"]], clusters: Sequence[str], kinds: Kinds = NO_KINDS
) -> dict[str, Interval]:
    """Return the 95 % interval of every metric of `bootstrap` that has one.

    It has none where the items, or those of the metric's kind, are of fewer than two clusters: all resamples are equal
    then, which says nothing of other items. Nor has a metric that no resample has.
    """
    if len(set(clusters)) < 2:
        return {}
    alone = tuple(f"_{kind}" for kind, places in kinds.items() if len({clusters[place] for place in places}) < 2)
    return {
        name: percentile_interval(column)
        for name, column in resamples.items()
        if not name.endswith(alone) and not np.isnan(column).all()
    }


def percentile_interval(resamples: Float[np.ndarray, " resamples"], confidence: float = 0.95) -> Interval:
    """Return the central interval that holds the ``confidence`` fraction of the resamples; NaN values are ignored."""
    outside = (1 - confidence) / 2
    low, high = np.nanquantile(resamples, [outside, 1 - outside])
    return float(low), float(high)


def _drawn_weights(cluster_of_item: Int[np.ndarray, " items"], seed: int, num_resamples: int) -> Iterator[Weights]:
    num_clusters = int(cluster_of_item.max()) + 1
    generator = np.random.Generator(np.random.PCG64(derive_key(seed, "bootstrap", num_clusters)))
    rows = max(1, _NUMBERS_AT_ONCE // len(cluster_of_item))
    for start in range(0, num_resamples, rows):
        num_rows = min(rows, num_resamples - start)
        draws = generator.integers(num_clusters, size=(num_rows, num_clusters))
        places = draws + np.arange(num_rows)[:, None] * num_clusters
        counts = np.bincount(places.ravel(), minlength=num_rows * num_clusters).reshape(num_rows, num_clusters)
        yield counts[:, cluster_of_item].astype(np.float64)


def _means(
    values: Values, weights: Weights, places: Int[np.ndarray, " items_of_kind"]
) -> dict[str, Float[np.ndarray, " resamples"]]:
    of_kind = weights[:, places]
    num_items = of_kind.sum(axis=1)
    num_items[num_items == 0] = np.nan
    return {name: of_kind @ column[places] / num_items for name, column in values.items()}


def _means_of_types(
    of_types: Sequence[Mapping[str, Float[np.ndarray, " resamples"]]],
) -> dict[str, Float[np.ndarray, " resamples"]]:
    """Return the mean over the types that occur in each resample, each type counting alike."""
    if not of_types:
        return {}
    found = {}
    for name in of_types[0]:
        columns = np.stack([means[name] for means in of_types])
        occurs = ~np.isnan(columns)
        found[f"{name}{MEAN_OF_TYPES}"] = np.where(occurs, columns, 0).sum(axis=0) / np.maximum(occurs.sum(axis=0), 1)
    return found


def _weighted_medians(column: Float[np.ndarray, " items"], weights: Weights) -> Float[np.ndarray, " resamples"]:
    """Return the median of every resample; for an even number of items, the mean of the middle two."""
    order = column.argsort(kind="stable")
    num_seen = weights[:, order].cumsum(axis=1)
    half = num_seen[:, -1:] / 2
    lower, upper = (num_seen >= half).argmax(axis=1), (num_seen > half).argmax(axis=1)
    return (column[order][lower] + column[order][upper]) / 2


def _mean_recalls(metrics: Mapping[str, np.ndarray]) -> dict[str, Float[np.ndarray, " resamples"]]:
    found = {}
    for name in metrics:
        for direction, summary in (("image_to_text", "mean_text_recall"), ("text_to_image", "mean_image_recall")):
            if name.endswith(f"{direction}_recall_at_1"):
                prefix = name.removesuffix(f"{direction}_recall_at_1")
                recalls = [metrics[f"{prefix}{direction}_recall_at_{k}"] for k in (1, 5, 10)]
                found[prefix + summary] = np.mean(recalls, axis=0)
    return found


def _mean_over_classes(
    hits: Float[np.ndarray, " items"], classes: Float[np.ndarray, " items"], weights: Weights
) -> Float[np.ndarray, " resamples"]:
    """Return the mean class accuracy over the classes that occur in each resample."""
    order = classes.argsort(kind="stable")
    firsts = np.unique(classes[order], return_index=True)[1]
    sizes = np.add.reduceat(weights[:, order], firsts, axis=1)
    num_hits = np.add.reduceat((weights * hits)[:, order], firsts, axis=1)
    occurs = sizes > 0
    accuracies = np.divide(num_hits, sizes, out=np.zeros_like(sizes), where=occurs)
    return accuracies.sum(axis=1) / occurs.sum(axis=1)
