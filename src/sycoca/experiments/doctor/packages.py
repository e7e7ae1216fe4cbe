"""Versions of packages: those that are needed, and those of optional parts."""

import platform
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from sycoca._version import __version__
from sycoca.experiments.doctor.finding import Finding, Section
from sycoca.facts.package_facts import CORE_PACKAGES, EXTRAS, ExtraFacts, ExtraName, Packages


def versions() -> Section:
    """Return the versions of Python, SyCoCa and the packages that it needs."""
    found = [
        Finding(name="sycoca", value=__version__),
        Finding(name="python", value=f"{platform.python_version()} ({sys.executable})"),
        Finding(name="system", value=f"{platform.system()} {platform.release()}, {platform.machine()}"),
        *(_core(name, oldest) for name, oldest in CORE_PACKAGES.items()),
    ]
    return Section(title="versions", findings=tuple(found))


def optional_parts() -> Section:
    """Return for every optional part whether it is installed, or what it lacks."""
    return Section(title="optional parts", findings=tuple(_extra(name, facts) for name, facts in EXTRAS.items()))


def _core(name: str, oldest: str) -> Finding:
    lacks = list(_lacking({name: oldest}))
    if not lacks:
        return Finding(name=name, value=version(name))
    return Finding(name=name, value=lacks[0], state="failed", remedy="pip install --upgrade sycoca")


def _extra(name: ExtraName, facts: ExtraFacts) -> Finding:
    lacks = list(_lacking(facts.packages))
    if lacks:
        remedy = f"pip install 'sycoca[{name}]'"
        return Finding(name=name, value=f"{facts.use}: {', '.join(lacks)}", state="absent", remedy=remedy)
    versions = ", ".join(f"{package} {version(package)}" for package in facts.packages)
    return Finding(name=name, value=f"{facts.use}: {versions}")


def _lacking(packages: Packages) -> Iterator[str]:
    """Yield what is wrong with packages; whether they can be imported is not tried, which takes seconds for some."""
    for name, oldest in packages.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            yield f"lacks {name}"
            continue
        if _numbers(found) < _numbers(oldest):
            yield f"{name} {found} is too old, {oldest} or newer is needed"


def _numbers(text: str) -> tuple[int, ...]:
    """Return the first three numbers of a version, which decide."""
    numbers = [int(number) for number in re.findall(r"\d+", text.partition("+")[0])[:3]]
    return (*numbers, *[0] * (3 - len(numbers)))
