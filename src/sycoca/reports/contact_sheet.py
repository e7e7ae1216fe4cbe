"""Results of a search as one self-contained HTML page of thumbnails."""

from pathlib import Path

from sycoca.plain_data import write_text
from sycoca.reports.html import render
from sycoca.search.hits import SearchResults


def save_contact_sheet(found: SearchResults, path: Path) -> None:
    """Write the page as one self-contained HTML file, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, render_contact_sheet(found))


def render_contact_sheet(found: SearchResults) -> str:
    """Return the page as HTML; texts are escaped."""
    return render("contact_sheet.html", found=found)
