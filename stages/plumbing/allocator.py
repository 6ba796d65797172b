"""How the C library deals with memory that was freed."""

import ctypes

# Numbers of parameters and values of mallopt(3).
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
BYTES = 1 << 30
# The most that glibc takes for MMAP_THRESHOLD before its release 2.35.
ONCE_MOST = 1 << 25


def keep_freed() -> None:
    """Keep freed memory for the next one who asks, up to 1 GiB of it; does nothing where the C library is not glibc.

    Large pieces go back to the kernel by default, which clears each page before it gives it again: a waste where work
    goes on in blocks of much the same size.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt and (mallopt(MMAP_THRESHOLD, BYTES) or mallopt(MMAP_THRESHOLD, ONCE_MOST)):
        mallopt(TRIM_THRESHOLD, BYTES)
