"""The doctor's answer where something does not work at all: a finding beside the other sections, no error."""

import subprocess
import sys
from pathlib import Path

import pytest

from sycoca.experiments.doctor import measured
from sycoca.experiments.doctor.doctor import examine
from sycoca.experiments.doctor.finding import Finding, Section


def well(title: str) -> Section:
    return Section(title=title, findings=(Finding(name="one", value="fine"),))


def test_what_ends_one_section_is_a_finding_and_the_others_are_looked_at(monkeypatch: pytest.MonkeyPatch):
    def broken(_device: object) -> Section:
        raise RuntimeError("CUDA error:\nout of memory")

    monkeypatch.setattr(measured, "precision", broken)
    monkeypatch.setattr(measured, "self_test", lambda device: well(f"self-test on {device}"))
    found = examine("cpu")
    titles = [section.title for section in found.sections]
    assert titles == ["versions", "machine", "folders", "optional parts", "precision on cpu", "self-test on cpu"]
    (failed,) = found.failures
    assert (failed.name, failed.value) == ("precision on cpu", "RuntimeError: CUDA error: out of memory")


@pytest.mark.parametrize("error", ["ImportError", "OSError"])
def test_a_package_that_cannot_be_imported_is_a_finding(tmp_path: Path, error: str):
    (tmp_path / "tokenizers.py").write_text(f"raise {error}('libstdc++.so.6: version not found')\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from sycoca.cli.main import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code, "doctor"], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert f"{error}: libstdc++.so.6: version not found" in done.stdout
    assert "optional parts" in done.stdout
    assert done.stdout.splitlines()[-1] == "1 failure: imports"
    assert "Traceback" not in done.stderr
