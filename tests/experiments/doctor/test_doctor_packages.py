import pytest

from sycoca.experiments.doctor import packages
from sycoca.experiments.doctor.finding import Finding, Section
from sycoca.experiments.doctor.packages import optional_parts, versions
from sycoca.facts.package_facts import EXTRAS


def versions_of(patch: pytest.MonkeyPatch, **changes: str | None) -> None:
    """Let packages have these versions; None is not installed."""
    installed = packages.version

    def version(name: str) -> str:
        key = name.replace("-", "_")
        found = changes[key] if key in changes else installed(name)
        if found is None:
            raise packages.PackageNotFoundError(name)
        return found

    patch.setattr(packages, "version", version)


def finding(section: Section, name: str) -> Finding:
    (found,) = [one for one in section.findings if one.name == name]
    return found


def test_every_extra_is_listed_once():
    assert [one.name for one in optional_parts().findings] == list(EXTRAS)


def test_a_part_is_absent_with_what_it_lacks_and_the_command(monkeypatch):
    versions_of(monkeypatch, fastapi="0.9.2", uvicorn="0.54.0", python_multipart=None)
    found = finding(optional_parts(), "serve")
    assert found.state == "absent"
    assert found.value == "sycoca serve: fastapi 0.9.2 is too old, 0.115.8 or newer is needed, lacks python-multipart"
    assert found.remedy == "pip install 'sycoca[serve]'"


@pytest.mark.parametrize("version", ["0.25.3", "0.25.3+cpu", "0.25.10", "1.0", "0.26.0rc1"])
def test_a_part_of_the_oldest_version_or_newer_is_there(monkeypatch, version):
    versions_of(monkeypatch, lancedb=version)
    found = finding(optional_parts(), "search")
    assert (found.state, found.value) == ("good", f"sycoca index, sycoca search: lancedb {version}")


@pytest.mark.parametrize(("version", "said"), [(None, "lacks torch"), ("2.9.1", "torch 2.9.1 is too old")])
def test_what_sycoca_never_runs_without_fails(monkeypatch, version, said):
    versions_of(monkeypatch, torch=version)
    found = finding(versions(), "torch")
    assert found.state == "failed"
    assert found.value.startswith(said)


def test_versions_here_are_good():
    assert {one.state for one in versions().findings} == {"good"}
