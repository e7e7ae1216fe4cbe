"""An analysis as Markdown, and as a table for the terminal."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, assert_never

from sycoca.experiments.ablation.analysis import Analysis, AnalyzedRow, MetricOfRow, PairedDifference
from sycoca.experiments.ablation.settings import EqualBy
from sycoca.facts.ablation_metrics import HEADLINES, METRIC_GROUPS, SHOWN
from sycoca.facts.metric_facts import is_improvement, metric_facts, metric_title, readable, readable_difference
from sycoca.terminal import plain

if TYPE_CHECKING:
    from rich.table import Table

ABSENT = "-"
"""Stands where a row cannot have a metric, or has no result yet."""

CLEAR = "*"
"""Marks a difference whose interval excludes 0."""


_DIFFERENCE_HEADS = "difference to {} | over items | detectable"


def explanations(analysis: Analysis) -> list[str]:
    """Return lines that say what the columns are."""
    remark = [f"{analysis.remark[0].upper()}{analysis.remark[1:]}."] if analysis.remark else []
    return [
        "Mean ± standard deviation over seeds. Interval: the 95 % interval of the mean (Student's t).",
        f"Difference to {analysis.baseline}: mean over seeds, paired by seed, with its 95 % interval (Student's t);"
        f" {CLEAR} where that excludes 0. Differences of rates are in percentage points. Intervals are not corrected"
        " for the number of rows and metrics.",
        "Over items: the 95 % interval of the same difference by bootstrap over test items, the same items for all"
        " models. It says what other items would give to these models, and the first interval what other seeds would.",
        "Detectable: the smallest difference that so many seeds find with 80 % power, given the deviation of the"
        " differences.",
        *remark,
    ]


def heading(analysis: Analysis) -> str:
    """Return what the rows have in common."""
    return f"{analysis.table}, {analysis.setting}: {equal_title(analysis.equal)}"


def equal_title(equal: EqualBy) -> str:
    """Return what rows have in common, in words."""
    match equal:
        case "steps":
            return "equal steps"
        case "processor-time":
            return "equal processor time"
        case unknown:
            assert_never(unknown)


def markdown(analyses: Sequence[Analysis]) -> str:
    """Return all analyses of an ablation as Markdown: results beside the paper's, then every metric."""
    lines = []
    for analysis in analyses:
        lines += [f"## {heading(analysis)}", "", f"Measured on `{analysis.measured_on}`.", ""]
        lines += [*_overview(analysis), ""]
        for group, metrics in METRIC_GROUPS.items():
            known = [name for name in metrics if any(name in row.metrics for row in analysis.rows)]
            lines += [line for name in known for line in _metric_table(analysis, name, group)]
    return "\n".join([*lines, *(f"- {line}" for line in explanations(analyses[0]))]) + "\n"


def terminal_table(analysis: Analysis) -> "Table":
    """Return means and clear differences of the most important metrics as a table."""
    from rich.table import Table

    shown = [name for name in SHOWN if any(name in row.metrics for row in analysis.rows)]
    table = Table(title=plain(heading(analysis)))
    for name in ("row", "seeds", "steps"):
        table.add_column(name, justify="left" if name == "row" else "right")
    for name in shown:
        table.add_column(plain(metric_title(name)), justify="right")
    for row in analysis.rows:
        cells = [_terminal_cell(name, row) for name in shown]
        table.add_row(plain(row.row.title), str(len(row.seeds)), f"{row.steps:,}", *map(plain, cells))
    return table


def mean_cell(name: str, value: MetricOfRow) -> str:
    """Return "28.6 ± 2.0 %"."""
    mean = readable(name, value.mean)
    if value.deviation is None:
        return mean
    unit = " %" if mean.endswith(" %") else ""
    return f"{mean.removesuffix(' %')} ± {readable(name, value.deviation).removesuffix(' %')}{unit}"


def interval_cell(name: str, value: MetricOfRow | None) -> str:
    """Return "27.2 to 30.0", the interval of the mean; `ABSENT` for a single seed."""
    if value is None or value.interval is None:
        return ABSENT
    low, high = (readable(name, end).removesuffix(" %") for end in value.interval)
    return f"{low} to {high}"


def difference_cell(name: str, difference: PairedDifference) -> str:
    """Return "+0.4 (-0.3 to +1.1)", with `CLEAR` where the interval excludes 0."""
    mean = readable_difference(name, difference.mean)
    if difference.interval is None:
        return mean
    low, high = (readable_difference(name, end) for end in difference.interval)
    return f"{mean} ({low} to {high}){CLEAR if difference.is_clear else ''}"


def items_cell(name: str, difference: PairedDifference) -> str:
    """Return "-0.3 to +1.1", the interval over test items; `ABSENT` where the metric was not resampled."""
    if difference.item_interval is None:
        return ABSENT
    low, high = (readable_difference(name, end) for end in difference.item_interval)
    return f"{low} to {high}"


def detectable_cell(name: str, difference: PairedDifference) -> str:
    """Return the smallest detectable difference; `ABSENT` for a single seed."""
    found = difference.smallest_detectable
    return ABSENT if found is None else readable(name, found).removesuffix(" %")


def paper_cell(row: AnalyzedRow) -> str:
    """Return "COCO 16.1 / 16.0, Flickr30k 37.5 / 28.7"."""
    found = (f"{data} {recalls[0]:.1f} / {recalls[1]:.1f}" for data, recalls in row.row.paper.items())
    return ", ".join(found) or ABSENT


def mark(name: str, difference: PairedDifference) -> str:
    """Return "yes" for a clear improvement, "no" for the opposite, "changed" for neither, "" where nothing is clear."""
    if not difference.is_clear:
        return ""
    return {True: "yes", False: "no", None: "changed"}[is_improvement(name, difference.mean)]


def _overview(analysis: Analysis) -> Iterator[str]:
    heads = [f"{short} | {_DIFFERENCE_HEADS.format(analysis.baseline)}" for short in ("mTR", "mIR")]
    yield f"| row | seeds | steps | minutes | {' | '.join(heads)} | paper: mTR / mIR |"
    yield f"| --- | {'---: | ' * 3}{'---: | ---: | ---: | ---: | ' * len(HEADLINES)}--- |"
    for row in analysis.rows:
        minutes = ABSENT if row.processor_minutes is None else f"{row.processor_minutes:.1f}"
        cells = [cell for name in HEADLINES for cell in _cells(name, row)]
        own = [row.row.title, str(len(row.seeds)), f"{row.steps:,}", minutes, *cells, paper_cell(row)]
        yield f"| {' | '.join(own)} |"
    yield ""
    yield "Minutes: processor time of training, a mean over seeds."


def _metric_table(analysis: Analysis, name: str, group: str) -> Iterator[str]:
    facts = metric_facts(name)
    better = None if facts is None else facts.is_better_higher
    direction = "" if better is None else f", {'higher' if better else 'lower'} is better"
    yield f"### {metric_title(name)}"
    yield ""
    yield f"`{name}` ({group}{direction})"
    yield ""
    yield f"| row | mean | interval | {_DIFFERENCE_HEADS.format(analysis.baseline)} |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for row in analysis.rows:
        mean, *differences = _cells(name, row)
        yield f"| {' | '.join([row.row.title, mean, interval_cell(name, row.metrics.get(name)), *differences])} |"
    yield ""


def _cells(name: str, row: AnalyzedRow) -> list[str]:
    """Return mean, difference, its interval over items and the smallest detectable difference."""
    value = row.metrics.get(name)
    if value is None:
        return [ABSENT] * 4
    if value.difference is None:
        return [mean_cell(name, value), *[ABSENT] * 3]
    cells = (cell(name, value.difference) for cell in (difference_cell, items_cell, detectable_cell))
    return [mean_cell(name, value), *cells]


def _terminal_cell(name: str, row: AnalyzedRow) -> str:
    value = row.metrics.get(name)
    if value is None:
        return ABSENT
    difference = "" if value.difference is None else f"\n{difference_cell(name, value.difference)}"
    return f"{mean_cell(name, value)}{difference}"
