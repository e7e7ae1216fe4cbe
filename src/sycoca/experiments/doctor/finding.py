"""Findings of the doctor, by section."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal, assert_never

State = Literal["good", "note", "absent", "failed"]
"""good: works. note: worth knowing. absent: an optional part, not installed. failed: should work and does not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One line of the doctor's answer."""

    name: str
    value: str
    state: State = "good"

    remedy: str | None = None
    """What to do about it."""

    @property
    def is_failure(self) -> bool:
        """Whether it is about what should work and does not."""
        match self.state:
            case "failed":
                return True
            case "good" | "note" | "absent":
                return False
            case unknown:
                assert_never(unknown)


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """Findings about one thing."""

    title: str
    findings: tuple[Finding, ...]


def failure(name: str, error: Exception) -> Finding:
    """Return the finding about an error."""
    text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return Finding(name=name, value=text, state="failed", remedy="sycoca doctor --verbose shows the traceback")


def failed_section(title: str, error: Exception) -> Section:
    """Return the section that an error has ended."""
    return Section(title=title, findings=(failure(title, error),))


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """All findings."""

    sections: tuple[Section, ...]

    @property
    def findings(self) -> Iterator[Finding]:
        """Yield the findings of all sections."""
        return (finding for section in self.sections for finding in section.findings)

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings about what should work and does not."""
        return tuple(finding for finding in self.findings if finding.is_failure)

    def to_json(self) -> str:
        """Return the findings as JSON."""
        return json.dumps({"is_healthy": not self.failures, **asdict(self)}, indent=2)
