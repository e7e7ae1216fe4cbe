"""The Markdown documents of the repository, and what they name."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

HISTORY = ("CHANGELOG.md", "docs/log.md", "docs/decisions.md", "docs/migration.md")
"""Documents that speak of the past: commands and files that they name may be gone."""

_FENCE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE_CODE = re.compile(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)")
_LINK = re.compile(r"\[[^\]\[]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Document:
    """One Markdown file."""

    name: str
    """Its path, from the root of the repository."""

    @property
    def text(self) -> str:
        """All of it."""
        return (ROOT / self.name).read_text(encoding="utf-8")

    @property
    def folder(self) -> Path:
        """Where relative links start."""
        return (ROOT / self.name).parent

    def blocks(self) -> Iterator[tuple[str, str]]:
        """Yield the language and the text of every fenced block."""
        yield from _FENCE.findall(self.text)

    def inline_code(self) -> Iterator[str]:
        """Yield what stands between single backticks, on one line."""
        for code in _INLINE_CODE.findall(_FENCE.sub("", self.text)):
            yield " ".join(code.split())

    def links(self) -> Iterator[str]:
        """Yield the targets of all links."""
        yield from _LINK.findall(_INLINE_CODE.sub("", _FENCE.sub("", self.text)))

    def anchors(self) -> set[str]:
        """Return the anchors of the headings, as GitHub makes them."""
        headings = re.findall(r"^#+ +(.+)$", _FENCE.sub("", self.text), re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def documents() -> list[Document]:
    """Return the README, all other Markdown files of the root, and those of docs/."""
    paths = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return [Document(path.relative_to(ROOT).as_posix()) for path in sorted(paths)]


def present_documents() -> list[Document]:
    """Return the documents that describe the code as it is."""
    return [document for document in documents() if document.name not in HISTORY]
