"""What an export needs beside sycoca itself. Imports none of it."""

from importlib.util import find_spec

import torch

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")

_OLDEST_TORCH = (2, 9)
"""Version 2.6 refuses axes of any length, 2.9 was tried."""


def check_requirements() -> None:
    """Raise ValueError where the extra [export] is not installed or PyTorch is too old for it."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise ValueError(f"an export needs {', '.join(missing)}: pip install 'sycoca[export]'")
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if version < _OLDEST_TORCH:
        oldest = ".".join(map(str, _OLDEST_TORCH))
        raise ValueError(f"an export needs PyTorch {oldest} or newer, this is {torch.__version__}; update it")
