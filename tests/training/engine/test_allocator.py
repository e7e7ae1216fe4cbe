import ctypes
import os
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


ARENAS = """
import ctypes, sys, threading
from sycoca.training.engine.allocator import keep_freed_memory
{call}
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
meet = threading.Barrier(24)
def allocate():
    meet.wait()
    libc.malloc(100)
    meet.wait()
threads = [threading.Thread(target=allocate) for _ in range(24)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
file = libc.fopen(sys.argv[1].encode(), b"w")
libc.malloc_info(0, ctypes.c_void_p(file))
libc.fclose(ctypes.c_void_p(file))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="needs glibc")
@pytest.mark.parametrize(("call", "is_limited"), [("keep_freed_memory()", True), ("", False)])
def test_threads_share_an_arena_per_core(tmp_path: Path, call: str, is_limited: bool):
    program = [sys.executable, "-c", ARENAS.format(call=call), str(tmp_path / "heaps.xml")]
    subprocess.run(program, check=True, preexec_fn=lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2]))
    num_arenas = (tmp_path / "heaps.xml").read_text().count("<heap nr=")
    assert (num_arenas <= 2) == is_limited
