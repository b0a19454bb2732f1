"""What is freed goes back to the system: the most that a run uses is then what it needs at one time.

glibc's allocator learns from the first large arrays that are freed to keep their like in its arenas. Threads that
allocate arrays of ever other sizes, as tiles of a slide are, leave gaps there in which the next does not fit: over a
large slide the arenas grew to several times what was in use. Blocks on pages of their own leave no gaps. Fresh pages
cost time, so only the largest blocks get them (from 128 KiB on, a prediction took a fifth longer), and large tensors
huge ones where the kernel has them. Elsewhere than on glibc nothing is done.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

OWN_PAGES_BYTES = 1 << 20
_KEPT_AT_THE_TOP_BYTES = 64 << 20  # as glibc itself comes to set it: less makes the end of an arena come and go
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def return_freed() -> bool:
    """Have large blocks of this process go back to the system when they are freed; before the first tensor is made.

    Returns
    -------
    bool
        Whether this system's allocator was told: not where it cannot be, nor where the environment tells it otherwise,
        as workers of a batch are told, which go from slide to slide.
    """
    if any(name in os.environ for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")):
        return False
    if not sys.platform.startswith("linux") or not hasattr(libc := ctypes.CDLL(None), "mallopt"):
        return False
    if _HUGE_PAGES.is_file() and "[never]" not in _HUGE_PAGES.read_text("ascii"):
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # read by torch, once
    done = libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_AT_THE_TOP_BYTES), libc.mallopt(_M_MMAP_THRESHOLD, OWN_PAGES_BYTES)
    return all(done)
