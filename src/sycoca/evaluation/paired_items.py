"""Test items of two rows of a comparison: which are common, and which of their values can be compared."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from sycoca.evaluation.report import ItemScores, Report
from sycoca.facts.metric_facts import set_dependence


def have_same_items(reports: Sequence[Report]) -> bool:
    """Return whether all reports are of the same test items, in any order."""
    keys = [{unit: set(items.keys) for unit, items in report.items.items()} for report in reports]
    return all(own == keys[0] for own in keys)


def common_keys(unit: str, items: tuple[ItemScores, ItemScores]) -> list[str]:
    """Return the keys of the items of both, in the order of the first. Raises ValueError where a key occurs twice."""
    for own in items:
        if len(set(own.keys)) != len(own.keys):
            key, count = Counter(own.keys).most_common(1)[0]
            raise ValueError(f"{unit} {key} occurs {count} times in a report, so items cannot be paired")
    known = set(items[1].keys)
    return [key for key in items[0].keys if key in known]


def chosen_items(items: ItemScores, keys: Sequence[str]) -> ItemScores:
    """Return the items of these keys, in their order."""
    row_of_key = {key: row for row, key in enumerate(items.keys)}
    rows = [row_of_key[key] for key in keys]
    return ItemScores(
        keys=keys,
        values={name: [column[row] for row in rows] for name, column in items.values.items()},
        groups=None if items.groups is None else [items.groups[row] for row in rows],
        kinds={prefix: [column[row] for row in rows] for prefix, column in items.kinds.items()},
    )


def set_dependent(metrics: Iterable[str]) -> list[str]:
    """Return the metrics whose values of different sets are not comparable, see `MetricFacts.of_set`."""
    return [metric for metric in metrics if set_dependence(metric) is not None]


def unpaired_note(
    unit: str, items: tuple[ItemScores, ItemScores], num_common: int, apart: Sequence[str], *, has_others: bool
) -> str | None:
    """Return a note on what cannot be paired; None where everything is.

    ``apart`` are the metrics that are left out since values of different sets are not comparable; ``has_others``:
    whether others are paired.
    """
    sizes = f"{len(items[0].keys):,} and {len(items[1].keys):,} {unit}s, {num_common:,} of them common"
    if num_common and not apart:
        return None if num_common == len(items[0].keys) == len(items[1].keys) else f"paired on the common ones: {sizes}"
    if not num_common:
        return f"not paired: {sizes}"
    why = f"values depend on the whole set ({'; '.join(_reasons(apart, with_names=has_others))})"
    return f"paired on the common ones: {sizes}; left out, since {why}" if has_others else f"not paired, {sizes}: {why}"


def _reasons(metrics: Sequence[str], *, with_names: bool) -> Iterator[str]:
    reasons = [set_dependence(metric) or "" for metric in metrics]
    for reason in dict.fromkeys(reasons):
        names = (metric for metric, own in zip(metrics, reasons, strict=True) if own == reason)
        yield f"{', '.join(names)}: {reason}" if with_names else reason
