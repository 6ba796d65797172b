"""Columns of texts as one array of bytes, and back."""

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa


class _Capsule:
    """An array of Arrow's that polars takes as it would one of any other library, by Arrow's PyCapsule interface.

    One that it knows for pyarrow's makes it load the module of functions that compute, which nobody here needs.
    """

    def __init__(self, array: pa.Array) -> None:
        self.array = array

    def __arrow_c_array__(self, requested_schema: Any = None) -> tuple[Any, Any]:
        return self.array.__arrow_c_array__(requested_schema)


def texts_of(name: str, letters: bytes | np.ndarray, ends: np.ndarray) -> pl.Series:
    """The texts whose UTF-8 is in `letters` (u8); text n from ends[n] to ends[n + 1] (i64, one more than texts)."""
    held = pa.LargeStringArray.from_buffers(len(ends) - 1, pa.py_buffer(ends), pa.py_buffer(letters))
    return pl.Series(_Capsule(held)).alias(name)


def bytes_of(texts: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """The UTF-8 of all texts, or all binary values, in one array (u8), and where each begins and ends in it (i64)."""
    held = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, content = held.buffers()
    if content is None or not len(held):
        return np.empty(0, np.uint8), np.zeros(len(held) + 1, np.int64)
    ends = np.frombuffer(offsets, np.int64)[held.offset : held.offset + len(held) + 1]
    return np.frombuffer(content, np.uint8)[ends[0] : ends[-1]], ends - ends[0]


def ends_of(lengths: np.ndarray) -> np.ndarray:
    """Where texts of these lengths begin and end when they follow each other."""
    return np.concatenate([[0], np.cumsum(lengths)])


def without(letters: np.ndarray, places: np.ndarray) -> np.ndarray:
    """All of the bytes but those at `places` (ascending).

    Arrow joins the runs between them, which numpy's masks take twice the time for.
    """
    if not len(places):
        return letters
    cuts = np.empty(2 * len(places) + 2, np.int64)
    cuts[0], cuts[1:-1:2], cuts[2:-1:2], cuts[-1] = 0, places, places + 1, len(letters)
    runs = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(cuts) - 1, [None, pa.py_buffer(cuts), pa.py_buffer(letters)]
    )
    return bytes_of(pl.Series(_Capsule(runs)).gather_every(2))[0]


def where(mask: np.ndarray) -> np.ndarray:
    """As numpy's flatnonzero, but eight values at a time: faster where few hold."""
    whole = len(mask) // 8 * 8
    words = np.flatnonzero(mask[:whole].view(np.uint64) != 0)
    found = np.flatnonzero(mask[:whole].reshape(-1, 8)[words])
    return np.concatenate([words[found >> 3] * 8 + (found & 7), np.flatnonzero(mask[whole:]) + whole])
