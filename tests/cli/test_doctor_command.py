import json

import pytest

from sycoca.cli.main import main
from sycoca.experiments.doctor import doctor
from sycoca.experiments.doctor.finding import Diagnosis, Finding, Section

WELL = Section(title="things", findings=(Finding(name="one", value="fine"), Finding(name="three", value="fine [b]")))
ABSENT = Section(
    title="optional parts",
    findings=(Finding(name="serve", value="lacks uvicorn", state="absent", remedy="pip install 'sycoca[serve]'"),),
)
FAILED = Section(
    title="folders",
    findings=(Finding(name="temp", value="/tmp: read-only file system " * 4, state="failed", remedy="choose another"),),
)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Return a function that runs the command on findings, and returns its exit code and what it prints."""

    def run(*sections: Section, words: tuple[str, ...] = (), columns: int = 120) -> tuple[int, str]:
        monkeypatch.setattr(doctor, "examine", lambda _device: Diagnosis(sections=sections))
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr("sycoca.terminal._is_terminal", lambda _: True)
        code = main(["doctor", *words])
        return code, capsys.readouterr().out

    return run


def test_absent_parts_are_no_failure(said):
    code, text = said(WELL, ABSENT)
    assert code == 0
    assert text.splitlines() == [
        "things",
        "  ok   one    fine",
        "  ok   three  fine [b]",
        "optional parts",
        "  none serve  lacks uvicorn",
        "       -> pip install 'sycoca[serve]'",
        "all well",
    ]


def test_what_should_work_and_does_not_gives_exit_code_1(said):
    code, text = said(WELL, FAILED)
    assert code == 1
    assert "  FAIL temp  /tmp: read-only" in text
    assert text.splitlines()[-1] == "1 failure: temp"


@pytest.mark.parametrize("columns", [60, 120])
def test_lines_fit_a_terminal_and_stay_below_their_text(said, columns):
    _, text = said(FAILED, columns=columns)
    lines = text.splitlines()
    assert max(map(len, lines)) <= columns
    assert all(line.startswith("       ") for line in lines[2:-2])


def test_json_has_all_findings(said):
    code, text = said(WELL, FAILED, words=("--json",))
    record = json.loads(text)
    assert (code, record["is_healthy"]) == (1, False)
    assert record["sections"][1]["findings"][0]["state"] == "failed"
    assert record["sections"][0]["findings"][0] == {"name": "one", "value": "fine", "state": "good", "remedy": None}


def test_an_unknown_device_is_refused(capsys: pytest.CaptureFixture[str]):
    assert main(["doctor", "--device", "toaster"]) == 1
    assert "'toaster' is no device; use auto, cpu, cuda" in capsys.readouterr().err
