"""Which metrics are fractions, and so lie between 0 and 1. Imports no torch."""

from sycoca.facts.metric_facts import metric_facts


def is_fraction(key: str) -> bool:
    """Return whether a key is known as that of a fraction, 0 to 1, shown in percent."""
    facts = metric_facts(key)
    return facts is not None and facts.is_percent


def range_of(key: str) -> tuple[float, float] | None:
    """Return the least and the largest value that a metric can have; None where no range is known."""
    return (0.0, 1.0) if is_fraction(key) else None
