import json
from pathlib import Path

import pytest

from sycoca.cli.command_line import run
from sycoca.cli.shared.usage import UsageError
from sycoca.evaluation.report import ItemScores, Report
from sycoca.outputs.errors import OutputError


def save(path: Path, hits: list[int]) -> str:
    items = {"image": ItemScores(keys=[str(i) for i in range(len(hits))], values={"accuracy_top_1": hits})}
    Report(task="probe", metrics={"accuracy_top_1": sum(hits) / len(hits)}, counts={}, items=items).save(path)
    return str(path)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    return [save(tmp_path / "clip" / "probe.json", [0, 1] * 30), save(tmp_path / "coca" / "probe.json", [1, 1, 0] * 20)]


def test_a_table_goes_to_stdout(files: list[str], capsys: pytest.CaptureFixture[str]):
    assert run(["compare", *files]) == 0
    printed = capsys.readouterr().out
    assert "clip/probe" in printed  # as many folders as it takes to tell them apart
    assert "50.0 %" in printed
    assert "66.7 %" in printed


def test_json_goes_to_stdout_and_to_a_file(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run(["compare", *files, "--json", "--out", str(tmp_path / "deep" / "compared.json")])
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "deep" / "compared.json").read_text())
    assert printed["reports"] == ["clip/probe", "coca/probe"]
    run(["compare", *files, "--json", "--seed", "1"])
    assert json.loads(capsys.readouterr().out) != printed


def test_reports_of_several_seeds_are_one_row(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    others = [save(tmp_path / f"{number}.json", [1] * number + [0] * (60 - number)) for number in (40, 44)]
    assert run(["compare", f"coca={files[0]},{files[1]}", f"sycoca={','.join(others)}"]) == 0
    printed = capsys.readouterr().out
    assert "sycoca - coca" in printed
    assert "2 seeds" in printed
    assert "58.3 %" in printed  # the mean of the first two


def test_a_file_with_an_equals_sign_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    odd, plain = save(tmp_path / "lr=1e-3.json", [0, 1] * 30), save(tmp_path / "plain.json", [1, 1] * 30)
    assert run(["compare", odd, plain, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reports"] == ["lr=1e-3", "plain"]


def test_a_page_is_written_beside_a_table_of_nothing(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    page = tmp_path / "deep" / "page.html"
    assert run(["compare", *files, "--html", str(page)]) == 0
    assert capsys.readouterr().out == f"{page}\n"
    assert "clip/probe against coca/probe" in page.read_text(encoding="utf-8")
    with pytest.raises(OutputError, match="is there already"):
        run(["compare", *files, "--html", str(page)])
    assert run(["compare", *files, "--html", str(page), "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.rsplit("\n", 2)[0])["reports"] == ["clip/probe", "coca/probe"]
    with pytest.raises(UsageError, match="so they need --html"):
        run(["compare", *files, "--examples", "scenes:?count=2"])
    with pytest.raises(ValueError, match=r"none\.jsonl"):  # before the rows, which are not there either, are compared
        run(["compare", "no", "such", "--html", str(tmp_path / "other.html"), "--examples", "none.jsonl"])


def test_folders_are_compared_section_by_section(files: list[str], capsys: pytest.CaptureFixture[str]):
    folders = [str(Path(file).parent) for file in files]
    assert run(["compare", *folders, "--json"]) == 0
    compared = json.loads(capsys.readouterr().out)["comparisons"]
    assert compared["probe"]["reports"] == ["clip", "coca"]


def test_wrong_use_is_told(files: list[str], tmp_path: Path):
    with pytest.raises(UsageError, match="name at least two runs or reports"):
        run(["compare", *files[:1]])
    with pytest.raises(ValueError, match="a run or report is named twice"):
        run(["compare", files[0], files[0]])
    with pytest.raises(ValueError, match="'a=' is no row; write NAME=RUN,RUN"):
        run(["compare", files[0], "a="])
    with pytest.raises(ValueError, match="two rows are called a"):
        run(["compare", f"a={files[0]}", f"a={files[1]}"])
    with pytest.raises(ValueError, match=r"none\.json cannot be read as a report"):
        run(["compare", files[0], str(tmp_path / "none.json")])
