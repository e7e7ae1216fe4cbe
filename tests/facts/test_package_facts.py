"""The table of packages is that of pyproject.toml."""

import re
import tomllib

from builders.documents import ROOT
from sycoca.facts.package_facts import CORE_PACKAGES, EXTRAS

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OWN = {"dev"}
"""Extras that are not for users."""


def required(lines: list[str]) -> dict[str, str]:
    found = (re.fullmatch(r"([\w-]+)>=([\d.]+)", line) for line in lines)
    return {match[1]: match[2] for match in found if match is not None}


def test_core_packages_are_the_dependencies():
    assert required(PROJECT["dependencies"]) == CORE_PACKAGES
    assert len(CORE_PACKAGES) == len(PROJECT["dependencies"])


def test_extras_are_the_optional_dependencies():
    listed = {name: required(lines) for name, lines in PROJECT["optional-dependencies"].items() if name not in OWN}
    assert {name: dict(facts.packages) for name, facts in EXTRAS.items()} == listed
    assert all(len(listed[name]) == len(PROJECT["optional-dependencies"][name]) for name in listed)
