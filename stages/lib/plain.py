"""Plain texts: ASCII without markup, which no text rule but the one for white space can change. Done on raw bytes.

Most texts of most tables are plain. Telling them apart and putting their white space right takes a dozen passes of
vector instructions over the bytes of a column, where regular expressions take several times as long.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from stages.lib.byte_columns import bytes_of, ends_of, texts_of, where, without

# White space of ASCII, the separators 1C-1F included, as Unicode has it.
WHITE = "\t\n\v\f\r\x1c\x1d\x1e\x1f "
SPACE, AND, LESS = np.frombuffer(b" &<", np.uint8)
# Bytes looked at in one go: what the processor's cache holds together with the masks made of them.
BYTES = 1 << 20
# White space at the end of a text that is looked at byte by byte, all texts at a time.
TAIL = 16
NONE = np.empty(0, np.int64)


@dataclass(frozen=True)
class Sorted:
    """texts: the column with ASCII's white space put right, if that was asked for, in the rest too.

    spaced, rest: for each text whether that was a change, and whether it is not plain. Null is neither.
    uncommon: of each text only the characters that are neither printable ASCII nor its white space, in their order.
    They are few, so that a search for some of them among these is all but free.
    """

    texts: pl.Series
    spaced: np.ndarray
    rest: np.ndarray
    uncommon: pl.Series


def sort_out(texts: pl.Series, *, spaces: bool) -> Sorted:
    """Part the plain texts from the rest; with `spaces`, runs of ASCII white space become one space, ends are trimmed.

    No byte of a wide character looks like white space, so that texts of any characters come out right.
    """
    parts = [_sorted(part, spaces=spaces) for part in _portions(texts)]
    return Sorted(
        _joined([part.texts for part in parts]),
        np.concatenate([part.spaced for part in parts]),
        np.concatenate([part.rest for part in parts]),
        _joined([part.uncommon for part in parts]),
    )


def _sorted(texts: pl.Series, *, spaces: bool) -> Sorted:
    letters, ends = bytes_of(texts)
    # Few bytes tell anything, and what they tell is asked of them alone.
    telling = _unprintable(letters)
    telling |= letters == AND
    telling |= letters == LESS
    places = where(telling)
    kinds, cuts = letters[places], np.searchsorted(places, ends)
    odd = _is_odd(kinds)
    strange = ~(odd | (kinds == AND) | (kinds == LESS))
    special = texts_of(texts.name, kinds[strange], ends_of(_counted(strange, cuts)))
    rest, spaced = _counted(~odd, cuts) > 0, np.zeros(texts.len(), bool)
    if spaces:
        odd_places = places[odd]
        needless = where(_needless(letters, odd_places, ends))
        fewer = np.diff(np.searchsorted(needless, ends))
        spaced = (fewer > 0) | (_counted(odd, cuts) > 0)
        even = letters.copy()
        even[odd_places] = SPACE
        tidy = texts_of(texts.name, without(even, needless), ends_of(np.diff(ends) - fewer))
        texts = tidy.zip_with(texts.is_not_null(), texts) if texts.null_count() else tidy
    return Sorted(texts, spaced, rest, special)


def _portions(texts: pl.Series) -> Iterator[pl.Series]:
    """The texts in portions of some BYTES each, or of one text that is longer."""
    size = pl.col(texts.name).str.len_bytes().fill_null(0).cast(pl.Int64)
    ends = texts.to_frame().select(size.cum_sum()).to_series().to_numpy()
    if not len(ends) or ends[-1] <= BYTES:
        yield texts
        return
    cuts = np.unique([0, *np.searchsorted(ends, np.arange(BYTES, ends[-1], BYTES)), len(ends)])
    for begun, ended in pairwise(cuts.tolist()):
        yield texts.slice(begun, ended - begun)


def _joined(parts: list[pl.Series]) -> pl.Series:
    return pl.concat(parts).rechunk() if len(parts) > 1 else parts[0]


def _counted(flags: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """How many of the flags are set between one cut and the next."""
    return np.diff(np.concatenate([[0], np.cumsum(flags)])[cuts])


def _unprintable(letters: np.ndarray) -> np.ndarray:
    """For each byte whether it is no printable character of ASCII. Unsigned, so that one comparison tests a range."""
    shifted = letters - SPACE
    return np.greater(shifted, 94, out=shifted.view(bool))


def _is_odd(letters: np.ndarray) -> np.ndarray:
    """For each byte whether it is white space other than the space."""
    return (letters - np.uint8(9) < 5) | (letters - np.uint8(28) < 4)


def _needless(letters: np.ndarray, odd: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """For each byte: is it white space at an end of its text, or after other white space of it.

    odd: where white space other than the space is. ends: see `bytes_of`.
    """
    white = letters == SPACE
    white[odd] = True
    needless = np.empty_like(white)
    np.logical_and(white[1:], white[:-1], out=needless[1:])
    some = np.flatnonzero(np.diff(ends))
    first, last = ends[some], ends[some + 1] - 1
    needless[first] = white[first]
    for _ in range(TAIL):
        at_end = white[last] & (last >= first)
        first, last = first[at_end], last[at_end]
        needless[last] = True
        last = last - 1
    for begun, ended in zip(first.tolist(), last.tolist(), strict=True):
        needless[begun + len(letters[begun : ended + 1].tobytes().rstrip(WHITE.encode())) : ended + 1] = True
    return needless
