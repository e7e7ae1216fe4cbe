"""Reports in files and folders: one of sycoca evaluate TASK, all of sycoca evaluate all, those of a run folder."""

import json
from collections.abc import Mapping
from pathlib import Path

from sycoca.evaluation.report import Report

_FOLDERS = (".", "reports")
"""Where the reports of a folder are, seen from it."""

_BEGINNING = 200
"""Characters that hold the task of a report's file."""


def reports_at(path: Path) -> dict[str, Report]:
    """Return the reports of a file under its task, or those of a folder under the names of their files; none without.

    Raises ValueError for a file that is no report.
    """
    if not path.is_dir():
        report = Report.load(path)
        return {report.task: report}
    files = [file for folder in _FOLDERS for file in sorted((path / folder).glob("*.json")) if _is_report(file)]
    return {file.stem: Report.load(file) for file in files}


def _is_report(file: Path) -> bool:
    with file.open(encoding="utf-8", errors="replace") as opened:
        beginning = opened.read(_BEGINNING)
        if '"task":' not in beginning:
            return False
        opened.seek(0)
        try:
            plain = json.load(opened)
        except json.JSONDecodeError:
            return True  # it began as one: loading it says what is wrong
    # The summaries of quickstart and evaluate all hold reports, and are none.
    return isinstance(plain, Mapping) and "reports" not in plain
