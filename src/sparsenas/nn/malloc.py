"""Settings of glibc's malloc, which by default returns large blocks to the system as soon as they are free."""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_heap() -> bool:
    """Keeps freed memory in this process, so that the next tensor of that size costs no page faults.

    Returns whether it succeeded: only glibc has these settings. Results do not change. On a CPU training and scoring
    get faster, and the process keeps its peak memory until it ends.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))
