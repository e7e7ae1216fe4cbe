import json
from pathlib import Path

import pytest

from sycoca.evaluation.report import Report
from sycoca.evaluation.report_files import reports_at


def save(path: Path, task: str) -> None:
    Report(task=task, metrics={"accuracy_top_1": 0.5}, counts={}).save(path)


def test_a_folder_has_the_reports_in_it_and_in_its_folder_of_reports(tmp_path: Path):
    save(tmp_path / "coco.json", "retrieval")
    save(tmp_path / "reports" / "probe.json", "probe")
    (tmp_path / "summary.json").write_text(json.dumps({"task": "all", "reports": {}}))
    (tmp_path / "report.json").write_text(json.dumps({"task": "quickstart", "metrics": {}, "reports": {}}))
    (tmp_path / "tokenizer.json").write_text("{}")
    assert {name: report.task for name, report in reports_at(tmp_path).items()} == {
        "coco": "retrieval",
        "probe": "probe",
    }


def test_a_file_has_its_report_under_its_task(tmp_path: Path):
    save(tmp_path / "first.json", "probe")
    assert list(reports_at(tmp_path / "first.json")) == ["probe"]
    with pytest.raises(ValueError, match=r"none\.json cannot be read as a report"):
        reports_at(tmp_path / "none.json")


def test_a_damaged_report_is_no_silent_gap(tmp_path: Path):
    save(tmp_path / "probe.json", "probe")
    whole = (tmp_path / "probe.json").read_text()
    (tmp_path / "probe.json").write_text(whole[:-20])
    with pytest.raises(ValueError, match="is not a report"):
        reports_at(tmp_path)
