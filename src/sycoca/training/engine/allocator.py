"""How the C library treats memory that PyTorch gives back."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Parameters of glibc's mallopt (malloc.h)."""

_LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> None:
    """Let freed memory stay with the process, for its next step; without effect where the C library is not glibc.

    A training step frees and takes gigabytes. By default glibc returns each large block to the system, which clears
    it, page by page, when it is taken again: about a twentieth of a step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT)
