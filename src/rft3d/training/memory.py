"""Keep freed memory in the process during training on a CPU.

glibc hands large freed blocks back to the kernel at once, so that every step pays for the same pages
again (a third of a tiny model's step went there). This tells it to keep them.
"""

from __future__ import annotations

import ctypes
import gc
import sys

# Parameter numbers of glibc's mallopt(3).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Ask the allocator to keep what is freed; returns whether there was one to ask (glibc)."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False  # another C library: nothing to do, nothing lost but time
    settings = ((_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 256 * 2**20), (_M_MMAP_MAX, 0))
    return all(mallopt(name, value) == 1 for name, value in settings)


def give_back_memory() -> None:
    """Hand what was freed and kept back to the system: before other processes do the work, say."""
    gc.collect()
    if not sys.platform.startswith("linux"):
        return
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return  # another C library keeps nothing on our request either
