from dataclasses import dataclass, field

import pytest

from sycoca.reports.config_table import ConfigRow, config_sections


@dataclass(frozen=True)
class Inner:
    rates: tuple[float, float] = (0.9, 0.98)
    kind: str | None = None


@dataclass(frozen=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    unusual: Inner = field(default_factory=lambda: Inner(kind="own"))
    flag: bool = False


@dataclass(frozen=True)
class Whole:
    steps: int
    outer: Outer = field(default_factory=Outer)
    seed: int = 0


def test_rows_are_in_their_section_with_dotted_names():
    general, outer = config_sections(Whole(steps=12000, outer=Outer(inner=Inner(rates=(0.5, 0.98)), flag=True)))
    assert general.rows == (
        ConfigRow(name="steps", value="12,000", default=None),
        ConfigRow(name="seed", value="0", default=None),
    )
    assert outer.name == "outer"
    assert outer.rows == (
        ConfigRow(name="inner.rates", value="0.5, 0.98", default="0.9, 0.98"),
        ConfigRow(name="inner.kind", value="none", default=None),
        ConfigRow(name="unusual.rates", value="0.9, 0.98", default=None),
        ConfigRow(name="unusual.kind", value="own", default=None),
        ConfigRow(name="flag", value="yes", default="no"),
    )


def test_a_nested_config_is_compared_with_its_own_default():
    _, outer = config_sections(Whole(steps=1, outer=Outer(unusual=Inner())))
    assert outer.rows[3] == ConfigRow(name="unusual.kind", value="none", default="own")


def test_anything_but_a_config_is_refused():
    with pytest.raises(TypeError, match="expected a dataclass instance, got dict"):
        config_sections({})
