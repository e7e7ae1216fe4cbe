"""Memory of oneDNN's kernels, of which one is compiled for every shape of a product."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource
import sys

import torch
import torch.nn.functional as F

from sycoca.model.products import limit_cached_kernels, onednn_product

if sys.argv[1] == "limited":
    limit_cached_kernels()
matrix, rows = torch.randn(256, 128), torch.randn(1200, 128)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for number in range(600, 1200):
    onednn_product(rows[:number], matrix, None)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def mebibytes(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], check=True, capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.slow
def test_products_of_many_shapes_take_a_fraction_of_the_memory_where_kernels_are_limited():
    free = mebibytes("free")
    if free < 100:
        pytest.skip("oneDNN keeps no kernel for each shape on this processor")
    assert mebibytes("limited") < free / 2
