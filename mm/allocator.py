"""Keeps the C library from giving memory back to the system between two frames.

By default glibc returns a block of more than 32 MiB as soon as it is freed, and the system hands it out again
as pages that must be cleared first. A network on a CPU frees and takes the same large tensors for every
frame: at 432×192 px, 40 % of the processor time of a magnification went into clearing pages.
"""

from __future__ import annotations

import ctypes
import sys

# Parameters of mallopt(3), from malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# Larger than any tensor of a frame; mallopt takes a C int.
_LARGE = 2**30


def keep_freed_memory() -> bool:
    """Have freed memory kept for the next allocation, for the whole process.

    For programs, not for libraries: it is the command line that calls it.

    Returns:
        whether the C library took it (glibc does; others are left as they are).
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGE)) and bool(mallopt(_TRIM_THRESHOLD, _LARGE))
