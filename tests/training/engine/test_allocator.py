import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import torch
from pathlib import Path
from sycoca.training.engine.allocator import keep_freed_memory
{call}
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
before = resident()
block = torch.ones(64 * 2**20)
del block
print(resident() - before)
"""


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists() or not hasattr(ctypes.CDLL(None), "mallopt"),
    reason="needs Linux and glibc",
)
@pytest.mark.parametrize(("call", "keeps"), [("keep_freed_memory()", True), ("", False)])
def test_freed_memory_stays(call: str, keeps: bool):
    output = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(call=call)], check=True, capture_output=True, text=True
    )
    assert (int(output.stdout) > 200 * 2**20) == keeps
