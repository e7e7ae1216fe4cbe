"""The rows of an ablation: a table of the paper, or the user's own in a YAML file of the same form. Imports no torch.

base:                                    # optional: changes that all rows share
  training: {steps: 800}
baseline: coca                           # optional: the row "coca", or the first one
rows:                                    # by name the fields of the configuration that are changed
  coca: {objectives: {masked_image_weight: 0}, masking: {hides_from_captioning: false}}
  sycoca: {}
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

from sycoca.facts.ablation_facts import BASELINE, PAPER_TABLES, PaperData, PaperTableName, Recalls
from sycoca.file_names import has_suffix
from sycoca.plain_data import Plain, did_you_mean, read_yaml
from sycoca.texts import shortened

_KEYS = ("base", "baseline", "rows")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,59}")
_OWNED = ("out", "seed", "preset")
"""Fields of a configuration that an ablation sets itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AblationRow:
    """A row."""

    name: str
    """Its short name, part of the names of its files."""

    title: str
    """Its name for people."""

    changes: Plain
    """The fields of the configuration that it changes, nested."""

    paper: Mapping[PaperData, Recalls] = field(default_factory=dict)
    """The paper's results; empty for other rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AblationRecipe:
    """The rows of an ablation, over one base."""

    name: str
    """The table of the paper, or the name of the file."""

    baseline: str
    """The row that the others are compared with."""

    base: Plain
    """Changes of the setting's configuration that all rows share."""

    rows: tuple[AblationRow, ...]
    """The rows, in order."""

    remark: str = ""
    """What the paper says of all rows together."""

    def row(self, name: str) -> AblationRow:
        """Return the row of a name."""
        return next(row for row in self.rows if row.name == name)

    def to_plain(self) -> Plain:
        """Return the content of a file that `read_recipe` reads."""
        rows = {row.name: row.changes for row in self.rows}
        return {"base": self.base, "baseline": self.baseline, "rows": rows}


def recipe_of(table: str) -> AblationRecipe:
    """Return a table of the paper, or the recipe in the file of that name.

    Raises ValueError for a name that is neither, and as `read_recipe` does.
    """
    if table in PAPER_TABLES:
        return paper_recipe(cast(PaperTableName, table))
    path = Path(table)
    if has_suffix(path, ".yaml", ".yml"):
        return read_recipe(path)
    names = get_args(PaperTableName)
    raise ValueError(f"{table!r} is neither a RECIPE.yaml nor a table{did_you_mean(table, names)}")


def name_of(table: str) -> str:
    """Return the name of a table of the paper, or of the recipe in a file."""
    return table if table in PAPER_TABLES else Path(table).stem


def paper_recipe(name: PaperTableName) -> AblationRecipe:
    """Return a table of the paper."""
    table = PAPER_TABLES[name]
    return AblationRecipe(
        name=name,
        baseline=BASELINE,
        base={},
        rows=tuple(
            AblationRow(name=short, title=row.title, changes=_copied(row.changes), paper=row.results)
            for short, row in table.rows.items()
        ),
        remark=table.remark,
    )


def read_recipe(path: Path) -> AblationRecipe:
    """Read a recipe. Raises ValueError, with the full key, for what is not known, missing or of the wrong kind.

    Whether the configuration has the fields that a row changes is known once the row meets its base.
    """
    return parsed_recipe(read_yaml(path), name_of(str(path)), str(path))


def parsed_recipe(data: object, name: str, where: str) -> AblationRecipe:
    """Return the recipe in plain data, which messages call ``where``; errors as of `read_recipe`."""
    plain = _mapping(data, where)
    for key in plain:
        if key not in _KEYS:
            raise ValueError(f"{where}: {key} is not a known key{did_you_mean(key, _KEYS)}")
    rows = _mapping(plain.get("rows"), f"{where}: rows")
    if not rows:
        raise ValueError(f"{where}: rows is empty; name at least one row")
    for row in rows:
        if not _NAME.fullmatch(row):
            raise ValueError(
                f"{where}: rows.{row} is no name of a row: lower-case letters, digits, '_', '-' and '.', at most 60"
            )
    changes = {row: _changes(own, f"{where}: rows.{row}") for row, own in rows.items()}
    return AblationRecipe(
        name=name,
        baseline=_baseline(plain.get("baseline"), changes, where),
        base=_changes(plain.get("base", {}), f"{where}: base"),
        rows=tuple(AblationRow(name=row, title=row, changes=own) for row, own in changes.items()),
    )


def _baseline(given: object, rows: Collection[str], where: str) -> str:
    if given is None:
        return BASELINE if BASELINE in rows else next(iter(rows))
    return checked_baseline(given, rows, where)


def checked_baseline(given: object, rows: Collection[str], where: str) -> str:
    """Return the row that the others are compared with. Raises ValueError where there is no such row."""
    if not isinstance(given, str) or given not in rows:
        raise ValueError(f"{where}: baseline {given!r} is not among the rows{did_you_mean(str(given), list(rows))}")
    return given


def _changes(data: object, where: str) -> Plain:
    changes = _mapping({} if data is None else data, where)
    for key in changes:
        if key in _OWNED:
            raise ValueError(f"{where}.{key} is set by sycoca ablate; leave it out")
    return changes


def _mapping(data: object, where: str) -> Plain:
    if not isinstance(data, dict):
        given = "nothing" if data is None else repr(data)
        raise ValueError(f"{where} must be a mapping of keys to values, got {shortened(given)}")
    return {str(key): value for key, value in data.items()}


def _copied(changes: Mapping[str, Any]) -> Plain:
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in changes.items()}
