"""Finding exact duplicates in a stream of rows of any length, in 24 bytes per distinct row."""

import numpy as np
import polars as pl

from stages.lib.measures import HASHES, column

# An odd number for the hash of several texts (Fibonacci hashing: 2^64 over the golden ratio).
SPREAD = np.uint64(0x9E3779B97F4A7C15)


def _unique(key: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct keys, where each stands first, and which of them each is: numpy's own needs a stable sort for it."""
    order = np.argsort(key)
    begins = np.flatnonzero(np.diff(key[order], prepend=~key[order[:1]]))
    back = np.empty(len(key), np.int64)
    back[order] = np.repeat(np.arange(len(begins)), np.diff(begins, append=len(key)))
    return key[order[begins]], np.minimum.reduceat(order, begins), back


def _joined(hashes: list[np.ndarray]) -> np.ndarray:
    """One hash for the hashes of several texts, in their order."""
    whole = hashes[0]
    for one in hashes[1:]:
        whole = whole * SPREAD + one
    return whole


class Seen:
    """Remembers the rows that came by: sorted runs of hashes, merged when two are about as long (log-structured).

    A dictionary would need ten times the memory; the merges keep the number of runs, hence of searches, logarithmic.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def first(self, rows: pl.DataFrame, fields: list[str]) -> pl.Series:
        """For each row (row_id, HASHES of each field) the row_id of the first with the same texts: a new one's own.

        Two hashes of 64 bits: the chance that two of ten million different rows agree in both is below 10^-24.
        """
        key, check = (_joined([rows[column(field, kind)].to_numpy() for field in fields]) for kind in HASHES)
        own = rows["row_id"].to_numpy()
        keys, where, back = _unique(key)
        checks, kept = check[where], own[where].copy()
        new = np.ones(len(keys), bool)
        for run_keys, run_checks, run_rows in self._runs:
            at = np.searchsorted(run_keys, keys)
            at[at == len(run_keys)] = 0
            same = (run_keys[at] == keys) & (run_checks[at] == checks)
            kept[same] = run_rows[at[same]]
            new &= ~same
        self._add((keys[new], checks[new], kept[new]))
        first = np.where(checks[back] == check, kept[back], own)
        return pl.Series("row_kept", first)

    def _add(self, run: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        if not len(run[0]):
            return
        self._runs.append(run)
        while len(self._runs) > 1 and len(self._runs[-2][0]) < 2 * len(self._runs[-1][0]):
            pair = self._runs.pop(), self._runs.pop()
            joined = [np.concatenate(columns) for columns in zip(*pair, strict=True)]
            order = np.argsort(joined[0], kind="stable")
            self._runs.append(tuple(column[order] for column in joined))
