"""Settings of glibc's memory allocator."""

import ctypes

from sycoca.worker_processes import usable_cores

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
"""Parameters of glibc's mallopt (malloc.h)."""

_LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next step; without effect on other C libraries.

    A training step allocates and frees gigabytes. By default glibc returns each large block to the system, and page
    faults at the next allocation take about 5 % of a step. There is one arena per core, not eight: every arena keeps
    the most that its threads have ever needed, and short-lived threads come to ever more of them.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT)
        mallopt(_M_ARENA_MAX, usable_cores())
