import io
import json

import pytest
from rich.console import Console

from sycoca.evaluation.comparison import compare_reports
from sycoca.evaluation.report import ItemScores, Report
from sycoca.facts.metric_facts import readable


def report(**changes: object) -> Report:
    fields = {
        "task": "scene_captions",
        "metrics": {"caption_truth": 0.6, "text_to_image_mean_rank": 1234.5},
        "counts": {"scenes": 1500},
        "settings": {"data": "scenes", "limit": None},
        "seconds": 2.5,
    }
    return Report(**{**fields, **changes})


def test_json_has_the_five_parts():
    assert json.loads(report().to_json()) == {
        "task": "scene_captions",
        "metrics": {"caption_truth": 0.6, "text_to_image_mean_rank": 1234.5},
        "counts": {"scenes": 1500},
        "settings": {"data": "scenes", "limit": None},
        "seconds": 2.5,
    }


def test_a_saved_report_comes_back(tmp_path):
    report().save(tmp_path / "deep" / "report.json")
    assert Report.load(tmp_path / "deep" / "report.json") == report()


def test_items_are_saved_but_not_shown(tmp_path):
    items = {"caption": ItemScores(keys=["a", "b"], values={"caption_truth": [1, 0]})}
    full = report(items=items)
    assert full.to_json() == report().to_json()
    full.save(tmp_path / "report.json")
    assert Report.load(tmp_path / "report.json") == full
    with pytest.raises(ValueError, match="caption_truth has 1 values for 2 items"):
        ItemScores(keys=["a", "b"], values={"caption_truth": [1]})


def test_names_of_items_are_composed_when_they_are_made(tmp_path):
    nfd, nfc = "cafe\u0301", "caf\u00e9"
    items = ItemScores(keys=[f"{nfd}#0", f"{nfd}#1"], values={"caption_truth": [1, 0]}, groups=(nfd, nfd))
    assert (items.keys, items.groups) == ([f"{nfc}#0", f"{nfc}#1"], [nfc, nfc])
    full = report(metrics={"caption_truth": 0.5}, items={"caption": items})
    full.save(tmp_path / "report.json")
    assert Report.load(tmp_path / "report.json") == full
    composed = ItemScores(keys=[f"{nfc}#0", f"{nfc}#1"], values=items.values, groups=[nfc, nfc])
    older = report(metrics={"caption_truth": 0.5}, items={"caption": composed})
    assert compare_reports({"a": full, "b": older}).notes == []
    # Two different names stay two.
    both = ItemScores(keys=[nfd, nfc], values={"caption_truth": [1, 0]}, groups=[nfd, nfc])
    assert both.keys == both.groups == [nfd, nfc]


def test_the_table_has_shares_in_percent_and_ranks_plain():
    assert readable("caption_truth", 0.6) == "60.0 %"
    assert readable("text_to_image_mean_rank", 1234.5) == "1,234.5"
    assert readable("training_seconds", 3.0) == "3.0"
    assert readable("cider", 1.0536) == "1.054"
    console = Console(file=io.StringIO(), width=100)
    console.print(report().table())
    for words in ("scene captions", "60.0 %", "1,234.5", "1,500", "2.5"):
        assert words in console.file.getvalue()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_refuses_numbers_that_are_none(value: float):
    with pytest.raises(ValueError, match=r"scene_captions: caption_truth is (nan|inf)"):
        report(metrics={"caption_truth": value})


@pytest.mark.parametrize("text", ["{", "[]", '{"task": "retrieval"}'])
def test_refuses_files_that_are_no_reports(tmp_path, text: str):
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(ValueError, match=r"report\.json (cannot be read as a report|is not a report)"):
        Report.load(tmp_path / "report.json")
    with pytest.raises(ValueError, match=r"missing\.json cannot be read as a report"):
        Report.load(tmp_path / "missing.json")
