"""Near-duplicates as a rule of cleaning: of rows that say nearly the same, the first one is kept.

A row is left out only if it is itself as similar as the threshold says to a row that is kept. So nothing is lost by a
chain: of A like B and B like C, C stays when it is not like A. A kept row may stand for any number of others, and needs
no limit for that, since each of them was compared with it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from stages.lib.near import joined, near_pairs, triples
from stages.plumbing.problem import Problem

# Distinct word triples, summed over the rows, at most: the search takes some 140 bytes for each, 3.5 GiB in all.
MOST_TRIPLES = 25_000_000
# A triple that very many rows share is compared among some of them only (stages/lib/near.py): then the rows that are
# kept are searched again, until nothing more is found. Of n such rows each search leaves n / 200.
SEARCHES = 10
ROWS_AT_ONCE = 8192


@dataclass(frozen=True)
class Found:
    """Pairs of places (first < second) that are similar enough, how similar; and how many pairs were not compared."""

    first: np.ndarray
    second: np.ndarray
    similarity: np.ndarray
    skipped: int


@dataclass(frozen=True)
class Similar:
    """The rows to leave out (`row_id`) with those that stand for them (`row_kept`), in the order of row_id.

    not_compared: pairs of kept rows that share very common triples only, and were not compared for that.
    """

    rows: pl.DataFrame
    not_compared: int

    @property
    def largest(self) -> int:
        """Rows, at most, for which one kept row stands, itself included; 0 when no row is like another."""
        return 1 + self.rows["row_kept"].value_counts()["count"].max() if self.rows.height else 0


def find_similar(table: Path, fields: list[str], threshold: float) -> Similar:
    """Which rows of this table to leave out; rows come in the order of row_id, and their fields are compared together.

    Raises Problem when the texts together are too long to be compared in memory.
    """
    row_id = pl.read_parquet(table, columns=["row_id"])["row_id"].to_numpy()
    pairs = _searched(table, fields, row_id, threshold)
    known, standing = [pairs], first_kept(len(row_id), [pairs])
    for _ in range(SEARCHES):
        if not pairs.skipped:
            break
        kept = np.flatnonzero(standing == np.arange(len(row_id)))
        pairs = _searched(table, fields, row_id[kept], threshold)
        if not len(pairs.first):
            break
        known.append(Found(kept[pairs.first], kept[pairs.second], pairs.similarity, pairs.skipped))
        standing = _handed_on(standing, known, lambda pairs: _compared(pairs, table, fields, row_id, threshold))
    out = np.flatnonzero(standing != np.arange(len(row_id)))
    rows = {"row_id": row_id[out], "row_kept": row_id[standing[out]]}
    return Similar(pl.DataFrame(rows, dict.fromkeys(rows, pl.Int64)), pairs.skipped)


def _searched(table: Path, fields: list[str], row_ids: np.ndarray, threshold: float) -> Found:
    """Pairs among some rows, by their places in `row_ids` (ascending)."""
    parts, held, rows = [], 0, 0
    for texts in _texts(table, fields, row_ids):
        parts.append(triples(texts))
        held, rows = held + len(parts[-1].values), rows + texts.len()
        if held > MOST_TRIPLES:
            told = f"{held:,} word triples in the first {rows:,} rows"
            do = "set it to null (split.near_duplicates keeps near-duplicates on one side), or clean a smaller source"
            wanted = f"at most {MOST_TRIPLES:,}, which can be compared in memory"
            raise Problem("params.yaml, clean.near_duplicates", told, wanted, do)
    pairs = near_pairs(joined(parts), threshold)
    return Found(pairs.first, pairs.second, pairs.similarity, pairs.skipped)


def _texts(table: Path, fields: list[str], row_ids: np.ndarray) -> Iterator[pl.Series]:
    """The texts of some rows, in parts: what the model reads and writes together."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(table) as opened:
        for batch in opened.iter_batches(ROWS_AT_ONCE, columns=["row_id", *fields]):
            rows = pl.DataFrame(batch)
            own = rows["row_id"].to_numpy()
            wanted = np.isin(own, row_ids, assume_unique=True) if len(own) else np.zeros(0, bool)
            yield rows.filter(wanted).select(pl.concat_str(fields, separator="\n").alias("text"))["text"]


def _handed_on(standing: np.ndarray, known: list[Found], compare: Callable[[np.ndarray], Found]) -> np.ndarray:
    """Who stands for whom by all known pairs.

    A row whose stand-in turned out to be like an earlier one is compared with that one; what is found joins `known`.
    """
    tried: set[tuple[int, int]] = set()
    while True:
        now = first_kept(len(standing), known)
        free = np.flatnonzero((standing != np.arange(len(standing))) & (now == np.arange(len(standing))))
        heirs = set(zip(now[standing[free]].tolist(), free.tolist(), strict=True)) - tried
        if not heirs:
            return now
        tried |= heirs
        known.append(compare(np.array(sorted(heirs))))


def _compared(pairs: np.ndarray, table: Path, fields: list[str], row_ids: np.ndarray, threshold: float) -> Found:
    """Of these pairs of places (n × 2) those that are similar enough."""
    rows = np.unique(pairs)
    parts = [triples(texts) for texts in _texts(table, fields, row_ids[rows])]
    sets = [some for part in parts for some in np.split(part.values, part.starts[1:-1])[: len(part.sizes)]]
    similarity = np.zeros(len(pairs))
    for place, (one, other) in enumerate(np.searchsorted(rows, pairs).tolist()):
        shared = len(np.intersect1d(sets[one], sets[other], assume_unique=True))
        similarity[place] = shared / max(len(sets[one]) + len(sets[other]) - shared, 1)
    near = similarity >= threshold - 1e-9
    return Found(pairs[near, 0], pairs[near, 1], similarity[near], 0)


def first_kept(rows: int, known: list[Found]) -> np.ndarray:
    """For each row, in order: the most similar earlier row that is kept (of equals the first), else itself."""
    first, second, similarity = (
        np.concatenate([getattr(pairs, name) for pairs in known]) for name in ("first", "second", "similarity")
    )
    standing = np.arange(rows)
    order = np.lexsort((first, -similarity, second))
    for one, other in zip(first[order].tolist(), second[order].tolist(), strict=True):
        if standing[other] == other and standing[one] == one:
            standing[other] = one
    return standing
