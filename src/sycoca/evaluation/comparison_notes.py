"""What compared reports differ in beside the model, and whether they are of different models at all."""

from collections import Counter
from collections.abc import Sequence

from sycoca.evaluation.report import Report

_MODEL = frozenset({"weights", "weights_sha256"})
"""Settings that name the model: reports are compared because they differ in them."""

_LATE = frozenset({"dtype"})
"""Settings that reports of earlier versions lack; nothing is known of theirs."""

_FINDINGS = frozenset(
    {"has_converged", "log10_inverse_penalty", "meteor", "most_frequent_answer", "most_frequent_mistakes", "spice"}
)
"""Settings that describe results and not the protocol; two models may differ in them."""


def other_settings(name: str, first: Report, other: Report) -> list[str]:
    """Return a note of the settings in which a report differs from the first one; none where it differs in none."""
    keys = [key for key in {**first.settings, **other.settings} if key not in _FINDINGS | _MODEL]
    lacking = {key for key in _LATE if key not in first.settings or key not in other.settings}
    names = [key for key in keys if first.settings.get(key) != other.settings.get(key) and key not in lacking]
    if not names:
        return []
    pairs = (f"{key} {other.settings.get(key)} instead of {first.settings.get(key)}" for key in names)
    return [f"{name}: other settings: {'; '.join(pairs)}"]


def repeated_weights(name: str, reports: Sequence[Report]) -> list[str]:
    """Return a note where reports that are to differ in their weights are of the same ones."""
    digests = Counter(report.settings.get("weights_sha256") for report in reports)
    most = max((count for digest, count in digests.items() if digest is not None), default=1)
    return [f"{name}: {most} reports are of the same weights, and count as one model"] * (most > 1)
