"""Parts of a report that are computed by themselves and joined."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sycoca.evaluation.report import ItemScores, Report, Setting


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportPart:
    """Metrics that join those of a report on the same images."""

    metrics: Mapping[str, float]
    """Values by name."""

    counts: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Setting] = field(default_factory=dict)

    values: Mapping[str, Sequence[float | int]] = field(default_factory=dict)
    """By name one value per image, in the report's order."""

    items: Mapping[str, ItemScores] = field(default_factory=dict)
    """By unit the contributions of items other than images."""

    remarks: tuple[str, ...] = ()


def joined(report: Report, parts: Sequence[ReportPart]) -> Report:
    """Return a report on images with the metrics, counts, settings, items and remarks of its parts."""
    for part in parts:
        items = dict(report.items)
        if part.values:
            items["image"] = replace(items["image"], values={**items["image"].values, **part.values})
        report = replace(
            report,
            metrics={**report.metrics, **part.metrics},
            counts={**report.counts, **part.counts},
            settings={**report.settings, **part.settings},
            items={**items, **part.items},
            remarks=tuple(dict.fromkeys((*report.remarks, *part.remarks))),
        )
    return report
