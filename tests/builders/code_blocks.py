"""Code blocks of the documents: which run, and why the others do not."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from builders.documents import Document, documents

RUN = ("sh", "python")
"""Languages whose blocks run, unless they are marked."""

DATA = ("json", "yaml")
"""Languages whose blocks are parsed."""

SHOWN = ("text",)
"""Figures and what programs print."""

HISTORY = ("docs/log.md", "docs/decisions.md", "docs/migration.md")
"""Pages of the site whose commands belong to the version of their date."""

_BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?```(?P<language>\S*)[^\n]*\n(?P<code>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """One fenced block of a document."""

    document: str
    """The path of its document, from the root of the repository."""

    line: int
    """The line of its first character of code."""

    language: str
    """What stands behind the fence."""

    code: str
    """Its text."""

    reason: str | None
    """Why it does not run, as the mark before it says; None without a mark."""

    @property
    def runs(self) -> bool:
        """Whether it is a program that the tests run."""
        return self.language in RUN and self.reason is None

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def pages() -> list[Document]:
    """Return the pages of the site that describe the code as it is."""
    return [one for one in documents() if one.name.startswith("docs/") and one.name not in HISTORY]


def blocks_of(document: Document) -> Iterator[CodeBlock]:
    """Yield the blocks of a document, in order."""
    text = document.text
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("code")) + 1
        yield CodeBlock(document.name, line, found["language"], found["code"], found["reason"])
