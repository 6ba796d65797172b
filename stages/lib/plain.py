"""Plain texts: ASCII without markup, which no text rule but the one for white space can change. Done on raw bytes.

Most texts of most tables are plain. Telling them apart and putting their white space right takes a dozen passes of
vector instructions over the bytes of a column, where regular expressions take several times as long.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

# White space of ASCII, the separators 1C-1F included, as Unicode has it.
WHITE = "\t\n\v\f\r\x1c\x1d\x1e\x1f "
SPACE = np.uint8(32)
# Bytes looked at in one go: what the processor's cache holds together with the masks made of them.
BYTES = 1 << 19
# White space at the end of a text that is looked at byte by byte, all texts at a time.
TAIL = 16


@dataclass(frozen=True)
class Sorted:
    """texts: the column with ASCII's white space put right, if that was asked for, in the rest too.

    spaced, rest: for each text whether that was a change, and whether it is not plain. Null is neither.
    """

    texts: pl.Series
    spaced: np.ndarray
    rest: np.ndarray


def sort_out(texts: pl.Series, *, spaces: bool) -> Sorted:
    """Part the plain texts from the rest; with `spaces`, runs of ASCII white space become one space, ends are trimmed.

    No byte of a wide character looks like white space, so that texts of any characters come out right.
    """
    letters, ends = _bytes_of(texts)
    rest, changed = np.zeros(texts.len(), bool), np.zeros(texts.len(), bool)
    tidy, lengths = np.empty(len(letters) if spaces else 0, np.uint8), np.diff(ends)
    written = 0
    for begun, ended in _portions(ends):
        part, starts = letters[ends[begun] : ends[ended]], ends[begun : ended + 1] - ends[begun]
        odd, suspicious = _marks(part)
        rest[begun:ended] = _any(suspicious, starts)
        if spaces:
            needless = _needless(part, odd, starts)
            changed[begun:ended] = _any(odd | needless, starts)
            lengths[begun:ended] -= np.diff(np.searchsorted(np.flatnonzero(needless), starts))
            kept = np.maximum(part, odd.view(np.uint8) * SPACE)[~needless]
            tidy[written : written + len(kept)] = kept
            written += len(kept)
    if not spaces:
        return Sorted(texts, changed, rest)
    held = pa.LargeStringArray.from_buffers(len(lengths), pa.py_buffer(_sums(lengths)), pa.py_buffer(tidy[:written]))
    whole = pl.Series(texts.name, held)
    return Sorted(whole.zip_with(texts.is_not_null(), texts) if texts.null_count() else whole, changed, rest)


def uncommon(texts: pl.Series) -> pl.Series:
    """Of each text only the characters that are neither printable ASCII nor its white space, in their order.

    They are few, so that a search for some of them among these is all but free.
    """
    letters, ends = _bytes_of(texts)
    kept, lengths = [], np.zeros(len(ends) - 1, np.int64)
    for begun, ended in _portions(ends):
        part = letters[ends[begun] : ends[ended]]
        common = part - SPACE
        common = np.less(common, 95, out=common.view(bool))
        common |= _is_odd(part)
        found = np.flatnonzero(np.logical_not(common, out=common))
        lengths[begun:ended] = np.diff(np.searchsorted(found, ends[begun : ended + 1] - ends[begun]))
        kept.append(part[found])
    held = pa.LargeStringArray.from_buffers(
        len(lengths), pa.py_buffer(_sums(lengths)), pa.py_buffer(np.concatenate(kept) if kept else b"")
    )
    return pl.Series(texts.name, held)


def _sums(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)])


def _bytes_of(texts: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """The UTF-8 of all texts in one array (u8), and where each begins and ends in it (i64, one more than texts)."""
    held = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, content = held.buffers()
    if content is None or not len(held):
        return np.empty(0, np.uint8), np.zeros(len(held) + 1, np.int64)
    ends = np.frombuffer(offsets, np.int64)[held.offset : held.offset + len(held) + 1]
    return np.frombuffer(content, np.uint8)[ends[0] : ends[-1]], ends - ends[0]


def _portions(ends: np.ndarray) -> Iterator[tuple[int, int]]:
    """Ranges of texts of some BYTES each, or of one text that is longer."""
    cuts = np.searchsorted(ends[:-1], np.arange(0, ends[-1], BYTES))
    cuts = np.unique(np.append(cuts, len(ends) - 1))
    yield from zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)


def _marks(letters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each byte: is it white space other than the space, and does it make its text one of the rest.

    Unsigned bytes wrap around, so that one comparison tests a range; results go into the arrays at hand, since new
    ones cost more than the comparisons.
    """
    odd = _is_odd(letters)
    suspicious = letters > 126
    found = letters == ord("&")
    suspicious |= found
    suspicious |= np.equal(letters, ord("<"), out=found)
    control = np.greater(np.less(letters, SPACE, out=found), odd, out=found)  # a control character, and not `odd`
    suspicious |= control
    return odd, suspicious


def _is_odd(letters: np.ndarray) -> np.ndarray:
    odd = letters - np.uint8(9)
    odd = np.less(odd, 5, out=odd.view(bool))
    separator = letters - np.uint8(28)
    odd |= np.less(separator, 4, out=separator.view(bool))
    return odd


def _needless(letters: np.ndarray, odd: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """For each byte: is it white space at an end of its text, or after other white space of it."""
    white = letters == SPACE
    white |= odd
    needless = white.copy()
    needless[1:] &= white[:-1]
    some = np.flatnonzero(np.diff(starts))
    first, last = starts[some], starts[some + 1] - 1
    needless[first] = white[first]
    for _ in range(TAIL):
        at_end = white[last] & (last >= first)
        first, last = first[at_end], last[at_end]
        needless[last] = True
        last = last - 1
    for begun, ended in zip(first.tolist(), last.tolist(), strict=True):
        needless[begun + len(letters[begun : ended + 1].tobytes().rstrip(WHITE.encode())) : ended + 1] = True
    return needless


def _any(mask: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """For each text whether the mask (one truth value per byte) holds anywhere in it."""
    found = np.zeros(len(starts) - 1, bool)
    some = np.flatnonzero(np.diff(starts))
    if len(some):
        found[some] = np.maximum.reduceat(mask.view(np.uint8), starts[:-1][some]).view(bool)
    return found
