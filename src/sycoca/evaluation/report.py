"""Report: what an evaluation found, as JSON for machines and as a table for people."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sycoca.facts.metric_facts import readable
from sycoca.plain_data import write_text

if TYPE_CHECKING:
    from rich.table import Table

Setting = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemScores:
    """What every test item contributes to the metrics, so that reports can be compared item by item."""

    keys: Sequence[str]
    """Names of the items."""

    values: Mapping[str, Sequence[float | int]]
    """By name one value per item: a metric that is their mean, or a count that a corpus metric is made of."""

    groups: Sequence[str] | None = None
    """What each item belongs to, such as a caption's image: items of a group are no independent witnesses. None where
    each stands for itself."""

    kinds: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    """Which kind each item is of, None where that is unknown: the mean of METRIC over the items of a kind is the metric
    METRIC_PREFIXKIND, for every PREFIX that leads to kinds here."""

    def __post_init__(self) -> None:
        columns = {**self.values, **self.kinds, **({} if self.groups is None else {"groups": self.groups})}
        for name, values in columns.items():
            if len(values) != len(self.keys):
                raise ValueError(f"{name} has {len(values)} values for {len(self.keys)} items")


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """A task's metrics, what they were counted on, and the settings they belong to."""

    task: str
    """What was evaluated."""

    metrics: dict[str, float]
    """Numbers by name; shares are 0 to 1."""

    counts: dict[str, int]
    """How many of what went into them."""

    settings: dict[str, Setting] = field(default_factory=dict)
    """Data, limits and options."""

    seconds: float = 0.0
    """How long it took."""

    items: Mapping[str, ItemScores] = field(default_factory=dict)
    """By unit ("image", "caption", "question") what each item contributes."""

    def __post_init__(self) -> None:
        for name, value in self.metrics.items():
            if not math.isfinite(value):
                raise ValueError(f"{self.task}: {name} is {value}; the model's numbers have overflowed or diverged")

    def to_json(self) -> str:
        """Return the report as JSON, without the items."""
        return json.dumps(self.to_plain(), indent=2, allow_nan=False)

    def to_plain(self) -> dict[str, object]:
        """Return what JSON can hold, without the items."""
        plain = asdict(self)
        del plain["items"]
        return plain

    def save(self, path: str | Path) -> None:
        """Write the report as a JSON file, whole or not at all; the items stand in its last line."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        items = {unit: asdict(scores) for unit, scores in self.items.items()}
        summary = self.to_json().removesuffix("\n}")
        write_text(path, f'{summary},\n  "items": {json.dumps(items, allow_nan=False, ensure_ascii=False)}\n}}\n')

    @classmethod
    def load(cls, path: str | Path) -> "Report":
        """Read what ``save`` wrote. Raises ValueError where the file is no report."""
        try:
            plain = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} cannot be read as a report: {error}") from error
        names = ("task", "metrics", "counts", "settings", "seconds")
        if not isinstance(plain, Mapping) or any(name not in plain for name in names):
            raise ValueError(f"{path} is no report; one has {', '.join(names)}")
        items = {unit: ItemScores(**scores) for unit, scores in plain.get("items", {}).items()}
        return cls(**{name: plain[name] for name in names}, items=items)

    def table(self) -> "Table":
        """Return metrics and counts as a table for the terminal, shares in percent."""
        from rich.table import Table

        table = Table(title=self.task.replace("_", " "), title_justify="left")
        table.add_column("metric")
        table.add_column("value", justify="right")
        for name, value in self.metrics.items():
            table.add_row(name, readable(name, value))
        table.add_section()
        for name, count in self.counts.items():
            table.add_row(name, f"{count:,}")
        table.add_row("seconds", f"{self.seconds:.1f}")
        missing = {name: value for name, value in self.settings.items() if str(value).startswith("not computed")}
        if missing:
            table.caption = "\n".join(f"{name} {reason}" for name, reason in missing.items())
            table.caption_justify = "left"
        return table
