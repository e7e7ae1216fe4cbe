"""The scripts of ``benchmarks/`` and ``docs/`` as modules."""

import importlib.util
import sys
from types import ModuleType

from builders.documents import ROOT


def benchmark_script(name: str) -> ModuleType:
    """Import ``benchmarks/NAME.py``."""
    return _script("benchmarks", name)


def docs_script(name: str) -> ModuleType:
    """Import ``docs/NAME.py``."""
    return _script("docs", name)


def _script(folder: str, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
