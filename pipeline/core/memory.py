"""What torch frees, glibc gives back to the system at once where the block is large, and gets again page by page, each page zeroed.

A training step on a CPU allocates and frees the same few hundred megabytes each time; that was an eighth of its time.
"""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h
MOST = 2**31 - 1


def keep_freed() -> None:
    """Lets this process keep what it frees, for its next allocations (mallopt(3)); where there is no glibc nothing changes."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, MOST)
