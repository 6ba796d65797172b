"""Plain texts: ASCII without markup, which no text rule but the one for white space can change. Done on raw bytes.

Most texts of most tables are plain. Telling them apart and putting their white space right takes a dozen passes of
vector instructions over the bytes of a column, where regular expressions take several times as long.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from stages.lib.byte_columns import bytes_of, ends_of, texts_of, where, without

# White space of ASCII, the separators 1C-1F included, as Unicode has it.
WHITE = "\t\n\v\f\r\x1c\x1d\x1e\x1f "
SPACE, AND, LESS = np.frombuffer(b" &<", np.uint8)
# Bytes looked at in one go: what the processor's cache holds together with the masks made of them.
BYTES = 1 << 19
# White space at the end of a text that is looked at byte by byte, all texts at a time.
TAIL = 16
NONE = np.empty(0, np.int64)


@dataclass(frozen=True)
class Sorted:
    """texts: the column with ASCII's white space put right, if that was asked for, in the rest too.

    spaced, rest: for each text whether that was a change, and whether it is not plain. Null is neither.
    uncommon: of each text only the uncommon characters, as the function of that name gives them.
    """

    texts: pl.Series
    spaced: np.ndarray
    rest: np.ndarray
    uncommon: pl.Series


def sort_out(texts: pl.Series, *, spaces: bool) -> Sorted:
    """Part the plain texts from the rest; with `spaces`, runs of ASCII white space become one space, ends are trimmed.

    No byte of a wide character looks like white space, so that texts of any characters come out right.
    """
    letters, ends = bytes_of(texts)
    rest, changed = np.zeros(texts.len(), bool), np.zeros(texts.len(), bool)
    even, lengths = np.empty(len(letters) if spaces else 0, np.uint8), np.diff(ends)
    gone, strange_letters, strange_counts = [NONE], [NONE.astype(np.uint8)], np.zeros(texts.len(), np.int64)
    for begun, ended in _portions(ends):
        first, here = ends[begun], slice(begun, ended)
        part, starts = letters[first : ends[ended]], ends[begun : ended + 1] - first
        # Few bytes tell anything, and what they tell is asked of them alone.
        telling = _unprintable(part)
        telling |= part == AND
        telling |= part == LESS
        places = where(telling)
        kinds, cuts = part[places], np.searchsorted(places, starts)
        odd = _is_odd(kinds)
        rest[here] = _counted(~odd, cuts) > 0
        strange = ~(odd | (kinds == AND) | (kinds == LESS))
        strange_letters.append(kinds[strange])
        strange_counts[here] = _counted(strange, cuts)
        if spaces:
            needless = where(_needless(part, places[odd], starts))
            fewer = np.diff(np.searchsorted(needless, starts))
            lengths[here] -= fewer
            changed[here] = (fewer > 0) | (_counted(odd, cuts) > 0)
            gone.append(needless + first)
            even[first : ends[ended]] = part
            even[places[odd] + first] = SPACE
    if spaces:
        tidy = texts_of(texts.name, without(even, np.concatenate(gone)), ends_of(lengths))
        texts = tidy.zip_with(texts.is_not_null(), texts) if texts.null_count() else tidy
    return Sorted(texts, changed, rest, texts_of(texts.name, np.concatenate(strange_letters), ends_of(strange_counts)))


def uncommon(texts: pl.Series) -> pl.Series:
    """Of each text only the characters that are neither printable ASCII nor its white space, in their order.

    They are few, so that a search for some of them among these is all but free.
    """
    letters, ends = bytes_of(texts)
    kept, counts = [NONE.astype(np.uint8)], np.zeros(texts.len(), np.int64)
    for begun, ended in _portions(ends):
        part = letters[ends[begun] : ends[ended]]
        places = where(_unprintable(part))
        kinds, cuts = part[places], np.searchsorted(places, ends[begun : ended + 1] - ends[begun])
        strange = ~_is_odd(kinds)
        kept.append(kinds[strange])
        counts[begun:ended] = _counted(strange, cuts)
    return texts_of(texts.name, np.concatenate(kept), ends_of(counts))


def _counted(flags: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """How many of the flags are set between one cut and the next."""
    return np.diff(np.concatenate([[0], np.cumsum(flags)])[cuts])


def _portions(ends: np.ndarray) -> Iterator[tuple[int, int]]:
    """Ranges of texts of some BYTES each, or of one text that is longer."""
    cuts = np.searchsorted(ends[:-1], np.arange(0, ends[-1], BYTES))
    cuts = np.unique(np.append(cuts, len(ends) - 1))
    yield from zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)


def _unprintable(letters: np.ndarray) -> np.ndarray:
    """For each byte whether it is no printable character of ASCII. Unsigned, so that one comparison tests a range."""
    shifted = letters - SPACE
    return np.greater(shifted, 94, out=shifted.view(bool))


def _is_odd(letters: np.ndarray) -> np.ndarray:
    """For each byte whether it is white space other than the space."""
    return (letters - np.uint8(9) < 5) | (letters - np.uint8(28) < 4)


def _needless(letters: np.ndarray, odd: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """For each byte: is it white space at an end of its text, or after other white space of it.

    odd: where white space other than the space is.
    """
    white = letters == SPACE
    white[odd] = True
    needless = np.empty_like(white)
    np.logical_and(white[1:], white[:-1], out=needless[1:])
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
