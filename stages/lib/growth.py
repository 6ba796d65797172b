"""How much a packed file may swell: a small archive can hold more than any disk does."""

from pathlib import Path

from stages.plumbing.problem import Problem

# A file that grows more than this on unpacking, beyond a size that no table of texts needs for it, is refused:
# text seldom shrinks to less than a twentieth, DEFLATE's limit is 1032:1 (zlib, Technical Details).
MAX_GROWTH = 200
MAX_GROWTH_FROM_BYTES = 1 << 28


def hold(path: Path, unpacked: int, packed: int) -> None:
    """Raise Problem when `packed` bytes have become, or say that they become, too many."""
    if unpacked > MAX_GROWTH_FROM_BYTES and unpacked > packed * MAX_GROWTH:
        told = f"{unpacked} bytes or more out of {packed}"
        do = "unpack it yourself if you trust it"
        raise Problem(str(path), told, f"at most {MAX_GROWTH} times the packed size", do)
