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


@dataclass(frozen=True)
class Sorted:
    """texts: the column, plain ones put right. spaced: indices (u32) of those that changed. rest: of the not plain."""

    texts: pl.Series
    spaced: pl.Series
    rest: pl.Series


def sort_out(texts: pl.Series, *, spaces: bool) -> Sorted:
    """Part the plain texts from the rest; with `spaces`, white space in the plain ones is put right."""
    tidy, spaced, rest = _looked_at(texts, spaces=spaces)
    spaced &= ~rest
    return Sorted(_put(texts, tidy, spaced), indices(spaced), indices(rest))


def spaced(texts: pl.Series) -> pl.Series:
    """Runs of ASCII white space to one space, ends trimmed, in all texts: no byte of a wide character looks like it."""
    tidy, changed, _ = _looked_at(texts, spaces=True)
    return _put(texts, tidy, changed)


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


def _put(texts: pl.Series, tidy: pl.Series, where: np.ndarray) -> pl.Series:
    return texts.zip_with(pl.Series(~where), tidy) if where.any() else texts


def _looked_at(texts: pl.Series, *, spaces: bool) -> tuple[pl.Series, np.ndarray, np.ndarray]:
    """The texts with their white space put right, for which of them that is a change, and which are not plain.

    Without `spaces` the texts are as they were, and none has changed. Null is neither changed nor of the rest.
    """
    trimmed = texts.str.strip_chars(WHITE) if spaces else texts
    letters, ends = _bytes_of(trimmed)
    rest, changed = np.zeros(texts.len(), bool), np.zeros(texts.len(), bool)
    tidy, lengths = np.empty(len(letters) if spaces else 0, np.uint8), np.diff(ends)
    written = 0
    for begun, ended in _portions(ends):
        part, starts = letters[ends[begun] : ends[ended]], ends[begun : ended + 1] - ends[begun]
        odd, suspicious = _marks(part)
        rest[begun:ended] = _any(suspicious, starts)
        if spaces:
            again = _again(part, odd, starts)
            changed[begun:ended] = _any(odd | again, starts)
            lengths[begun:ended] -= np.diff(np.searchsorted(np.flatnonzero(again), starts))
            part = part.copy()
            part[odd] = SPACE
            part = part[~again]
            tidy[written : written + len(part)] = part
            written += len(part)
    if not spaces:
        return texts, changed, rest
    changed |= (trimmed.str.len_bytes() != texts.str.len_bytes()).fill_null(value=False).to_numpy()
    held = pa.LargeStringArray.from_buffers(len(lengths), pa.py_buffer(_sums(lengths)), pa.py_buffer(tidy[:written]))
    return pl.Series(texts.name, held), changed, rest


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


def _again(letters: np.ndarray, odd: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """For each byte: is it white space that follows white space of the same text."""
    white = letters == SPACE
    white |= odd
    again = np.zeros(len(letters), bool)
    np.logical_and(white[1:], white[:-1], out=again[1:])
    again[starts[:-1][starts[:-1] < len(letters)]] = False
    return again


def _any(mask: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """For each text whether the mask (one truth value per byte) holds anywhere in it."""
    found = np.zeros(len(starts) - 1, bool)
    some = np.flatnonzero(np.diff(starts))
    if len(some):
        found[some] = np.maximum.reduceat(mask.view(np.uint8), starts[:-1][some]).view(bool)
    return found


def indices(mask: np.ndarray) -> pl.Series:
    """Where the mask holds (u32)."""
    return pl.Series(np.flatnonzero(mask).astype(np.uint32))
