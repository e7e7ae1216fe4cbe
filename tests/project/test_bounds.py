"""The version ranges of pyproject.toml are those that the suite runs with."""

import tomllib
from collections import defaultdict

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from builders.environment import ROOT, normalized, pinned_versions

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [
    Requirement(line)
    for lines in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for line in lines
]
LOWER_BOUNDS = defaultdict(set)
for requirement in REQUIREMENTS:
    LOWER_BOUNDS[normalized(requirement.name)] |= {bound.version for bound in requirement.specifier}


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_every_requirement_has_a_lower_bound_and_no_upper_one(requirement: Requirement):
    assert [bound.operator for bound in requirement.specifier] == [">="]


@pytest.mark.parametrize("package", sorted(LOWER_BOUNDS))
def test_a_package_has_one_bound_in_all_extras(package: str):
    assert len(LOWER_BOUNDS[package]) == 1


@pytest.mark.parametrize("package", sorted(LOWER_BOUNDS.keys() - {"torch"}))
def test_make_test_lowest_runs_with_the_lower_bound(package: str):
    assert {pinned_versions("constraints-lowest.txt").get(package)} == LOWER_BOUNDS[package]


@pytest.mark.parametrize("package", sorted(LOWER_BOUNDS.keys() - {"ray", "wandb"}))
def test_make_test_runs_with_an_allowed_version(package: str):
    (bound,) = LOWER_BOUNDS[package]
    assert Version(pinned_versions("constraints.txt")[package]) >= Version(bound)


def test_all_constraints_hold_the_same_torch():
    names = ("constraints.txt", "constraints-lowest.txt", "constraints-newest.txt")
    assert len({pinned_versions(name)["torch"] for name in names}) == 1


def test_classifiers_name_the_pythons_of_ci():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    (pythons,) = [line for line in workflow.splitlines() if line.strip().startswith("python: [")]
    named = [line.rsplit(" ", 1)[1] for line in PROJECT["classifiers"] if "Python :: 3." in line]
    assert pythons.split("[")[1] == ", ".join(f'"{version}"' for version in named) + "]"
    assert PROJECT["requires-python"] == f">={named[0]}"
