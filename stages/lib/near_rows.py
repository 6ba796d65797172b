"""Near-duplicates as a rule of cleaning: of rows that say nearly the same, the first one is kept.

A row is left out only if it is itself as similar as the threshold says to a row that is kept. So nothing is lost by a
chain: of A like B and B like C, C stays when it is not like A. A kept row may stand for any number of others, and needs
no limit for that, since each of them was compared with it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from heapq import merge
from pathlib import Path

import numpy as np
import polars as pl

from stages.lib.near import BLOCK, Block, Pairs, near_pairs, triples, whole_texts

# Where rows that share very common triples are too many for all of their pairs (stages/lib/near.py), those that are
# kept are searched again, until nothing more is found: they are fewer each time, so more of them are compared.
SEARCHES = 10

# Pairs of places, in the order of the second.
Known = Iterable[Block]


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


@dataclass(frozen=True)
class _Among:
    """Pairs that were searched among some places only, by their places among all."""

    pairs: Pairs
    places: np.ndarray

    def __iter__(self) -> Iterator[Block]:
        for block in self.pairs:
            yield Block(self.places[block.first], self.places[block.second], block.similarity)


def find_similar(table: Path, fields: list[str], threshold: float) -> Similar:
    """Which rows of this table to leave out; rows come in the order of row_id, and their fields are compared together.

    What does not fit in memory lies, meanwhile, on the disk of the table.
    """
    row_id = pl.read_parquet(table, columns=["row_id"])["row_id"].to_numpy()
    pairs = _searched(table, fields, row_id, threshold)
    known: list[Known] = [pairs]
    standing = first_kept(len(row_id), known)
    for _ in range(SEARCHES):
        if not pairs.skipped:
            break
        kept = np.flatnonzero(standing == np.arange(len(row_id)))
        pairs = _searched(table, fields, row_id[kept], threshold)
        if not len(pairs):
            break
        known.append(_Among(pairs, kept))
        standing = _handed_on(standing, known, lambda pairs: _compared(pairs, table, fields, row_id, threshold))
    out = np.flatnonzero(standing != np.arange(len(row_id)))
    rows = {"row_id": row_id[out], "row_kept": row_id[standing[out]]}
    return Similar(pl.DataFrame(rows, dict.fromkeys(rows, pl.Int64)), pairs.skipped)


def _searched(table: Path, fields: list[str], row_ids: np.ndarray, threshold: float) -> Pairs:
    """Pairs among some rows, by their places in `row_ids` (ascending)."""
    return near_pairs(_texts(table, fields, row_ids), len(row_ids), threshold, table.parent)


def _texts(table: Path, fields: list[str], row_ids: np.ndarray) -> Iterator[pl.Series]:
    """The texts of some rows, in parts: what the model reads and writes together."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(table) as opened:
        for batch in opened.iter_batches(BLOCK, columns=["row_id", *fields]):
            rows = pl.DataFrame(batch)
            own = rows["row_id"].to_numpy()
            at = np.searchsorted(row_ids, own)
            wanted = row_ids[np.minimum(at, len(row_ids) - 1)] == own if len(row_ids) else np.zeros(len(own), bool)
            yield from whole_texts(rows.filter(wanted).select(fields))


def _handed_on(standing: np.ndarray, known: list[Known], compare: Callable[[np.ndarray], Block]) -> np.ndarray:
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
        known.append([compare(np.array(sorted(heirs, key=lambda pair: pair[::-1])))])


def _compared(pairs: np.ndarray, table: Path, fields: list[str], row_ids: np.ndarray, threshold: float) -> Block:
    """Of these pairs of places (n × 2) those that are similar enough."""
    rows = np.unique(pairs)
    parts = [triples(texts) for texts in _texts(table, fields, row_ids[rows])]
    sets = [some for part in parts for some in np.split(part.values, part.starts[1:-1])[: len(part.sizes)]]
    similarity = np.zeros(len(pairs))
    for place, (one, other) in enumerate(np.searchsorted(rows, pairs).tolist()):
        shared = len(np.intersect1d(sets[one], sets[other], assume_unique=True))
        similarity[place] = shared / max(len(sets[one]) + len(sets[other]) - shared, 1)
    near = similarity >= threshold - 1e-9
    return Block(pairs[near, 0], pairs[near, 1], similarity[near])


def first_kept(rows: int, known: list[Known]) -> np.ndarray:
    """For each row, in order: the most similar earlier row that is kept (of equals the first), else itself."""
    found = np.arange(rows)
    standing = memoryview(found)
    for second, _, first in merge(*map(_most_similar_first, known)):
        if standing[second] == second and standing[first] == first:
            standing[second] = first
    return found


def _most_similar_first(known: Known) -> Iterator[tuple[int, float, int]]:
    """Second, less its similarity, first: in this order."""
    for block in known:
        order = np.lexsort((block.first, -block.similarity, block.second))
        for part in np.array_split(order, 1 + len(order) // BLOCK):
            columns = block.second[part], -block.similarity[part], block.first[part]
            yield from zip(*(column.tolist() for column in columns), strict=True)
