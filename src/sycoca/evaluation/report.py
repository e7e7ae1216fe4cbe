"""Report: the result of an evaluation, as JSON and as a table."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sycoca.facts.metric_facts import metric_title, readable
from sycoca.plain_data import write_text
from sycoca.texts import normal_names

if TYPE_CHECKING:
    from rich.table import Table

Setting = str | int | float | bool | None

_SHOWN_IN_REPR = 3
"""Metrics in the one line that an interactive session shows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemScores:
    """Contributions of all test items to the metrics, so that reports can be compared item by item.

    Names of items and groups are brought into Unicode's composed form, so that those of two machines are found equal.
    """

    keys: Sequence[str]
    """Names of the items."""

    values: Mapping[str, Sequence[float | int]]
    """By name one value per item: its mean is a metric, or it is a count of which a corpus metric is computed."""

    groups: Sequence[str] | None = None
    """The group of each item, such as a caption's image: items of a group are not independent and are resampled
    together. None for independent items."""

    kinds: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    """Which kind each item is of, None where that is unknown: the mean of METRIC over the items of a kind is the metric
    METRIC_PREFIXKIND, for every PREFIX that leads to kinds here."""

    def __post_init__(self) -> None:
        columns = {**self.values, **self.kinds, **({} if self.groups is None else {"groups": self.groups})}
        for name, values in columns.items():
            if len(values) != len(self.keys):
                raise ValueError(f"{name} has {len(values)} values for {len(self.keys)} items")
        object.__setattr__(self, "keys", normal_names(self.keys))
        if self.groups is not None:
            object.__setattr__(self, "groups", normal_names(self.groups))

    def __repr__(self) -> str:
        return f"<ItemScores of {len(self.keys):,} items: {', '.join(self.values)}>"


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Metrics of a task with counts and settings."""

    task: str
    """Name of the task."""

    metrics: dict[str, float]
    """Values by name; rates are 0 to 1."""

    counts: dict[str, int]
    """Numbers of images, captions and other items."""

    settings: dict[str, Setting] = field(default_factory=dict)
    """Data, limits and options."""

    seconds: float = 0.0
    """Duration of the evaluation in seconds."""

    items: Mapping[str, ItemScores] = field(default_factory=dict)
    """By unit ("image", "caption", "question") the contributions of all items."""

    remarks: tuple[str, ...] = ()
    """Lines about metrics that are right by definition and say less than they seem to."""

    def __post_init__(self) -> None:
        for name, value in self.metrics.items():
            if not math.isfinite(value):
                raise ValueError(f"{self.task}: {name} is {value}; the model has diverged or its numbers overflow")

    def __repr__(self) -> str:
        shown = [f"{name} {readable(name, value)}" for name, value in list(self.metrics.items())[:_SHOWN_IN_REPR]]
        more = len(self.metrics) - len(shown)
        counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in list(self.counts.items())[:2])
        return f"<Report {self.task}: {', '.join(shown)}{f' and {more} more' if more else ''}; {counts}>"

    def to_json(self) -> str:
        """Return the report as JSON, without the items."""
        return json.dumps(self.to_plain(), indent=2, allow_nan=False)

    def to_plain(self) -> dict[str, object]:
        """Return the report as plain data, without the items."""
        plain = asdict(self)
        del plain["items"]
        if not self.remarks:
            del plain["remarks"]
        return plain

    def save(self, path: str | Path) -> None:
        """Write the report as a JSON file, atomically; the items are in its last line."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        items = {unit: asdict(scores) for unit, scores in self.items.items()}
        summary = self.to_json().removesuffix("\n}")
        write_text(path, f'{summary},\n  "items": {json.dumps(items, allow_nan=False, ensure_ascii=False)}\n}}\n')

    @classmethod
    def load(cls, path: str | Path) -> "Report":
        """Read what ``save`` wrote. Raises ValueError for a file that is not a report."""
        try:
            plain = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ValueError(f"{path} cannot be read as a report: {error.strerror}") from error
        except (json.JSONDecodeError, UnicodeDecodeError):
            plain = None
        names = ("task", "metrics", "counts", "settings", "seconds")
        if not isinstance(plain, Mapping) or any(name not in plain for name in names):
            raise ValueError(f"{path} is not a report; sycoca evaluate and sycoca score write reports with --out")
        items = {unit: ItemScores(**scores) for unit, scores in plain.get("items", {}).items()}
        return cls(**{name: plain[name] for name in names}, items=items, remarks=tuple(plain.get("remarks", ())))

    def table(self) -> "Table":
        """Return metrics and counts as a table for the terminal, rates in percent."""
        from rich.table import Table

        from sycoca.terminal import plain

        table = Table(title=plain(self.task.replace("_", " "), style="table.title"), title_justify="left")
        table.add_column("metric")
        table.add_column("value", justify="right")
        for name, value in self.metrics.items():
            table.add_row(plain(name), readable(name, value))
        table.add_section()
        for name, count in self.counts.items():
            table.add_row(plain(name), f"{count:,}")
        table.add_row("seconds", f"{self.seconds:.1f}")
        lines = self._notes()
        if lines:
            table.caption = plain("\n".join(lines), style="table.caption")
            table.caption_justify = "left"
        return table

    def _repr_html_(self) -> str:
        """Return metrics, counts and remarks as HTML for the cell of a notebook."""
        from sycoca.notebooks.cell_html import cell, note, table

        counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in self.counts.items())
        about = " · ".join(filter(None, (counts, str(self.settings.get("data", "")), f"{self.seconds:.1f} s")))
        metrics = ((metric_title(name), readable(name, value)) for name, value in self.metrics.items())
        return cell(self.task.replace("_", " "), table(metrics), note(about), *map(note, self._notes()))

    def _notes(self) -> list[str]:
        """Return the remarks, and why metrics are missing."""
        missing = {name: value for name, value in self.settings.items() if str(value).startswith("not computed")}
        return [*self.remarks, *(f"{name} {reason}" for name, reason in missing.items())]
