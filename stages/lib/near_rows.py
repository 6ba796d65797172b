"""Near-duplicates as a rule of cleaning: of rows that say nearly the same, the first one is kept.

A row is left out only if it is itself as similar as the threshold says to a row that is kept. So nothing is lost by a
chain: of A like B and B like C, C stays when it is not like A. A kept row may stand for any number of others, and needs
no limit for that, since each of them was compared with it.
"""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from stages.lib.near import BLOCK, near_pairs
from stages.lib.near import Block as Some


@dataclass(frozen=True)
class Similar:
    """The rows to leave out (`row_id`) with those that stand for them (`row_kept`), in the order of row_id.

    not_compared: pairs of rows that share very common triples only, and were not compared for that.
    """

    rows: pl.DataFrame
    not_compared: int

    @property
    def largest(self) -> int:
        """Rows, at most, for which one kept row stands, itself included; 0 when no row is like another."""
        return 1 + self.rows["row_kept"].value_counts()["count"].max() if self.rows.height else 0


def find_similar(table: Path, fields: list[str], threshold: float) -> Similar:
    """Which rows of this table to leave out; rows come in the order of row_id, and their fields are compared together.

    The search works in a folder beside the table, which it removes (`stages.lib.near` says how much it wants).
    """
    row_id = pl.read_parquet(table, columns=["row_id"])["row_id"].to_numpy()
    with tempfile.TemporaryDirectory(dir=table.parent, prefix=".near.") as place:
        pairs = near_pairs(_texts(table, fields), len(row_id), threshold, Path(place))
        standing = first_kept(len(row_id), pairs)
        skipped = pairs.skipped
    out = np.flatnonzero(standing != np.arange(len(row_id)))
    rows = {"row_id": row_id[out], "row_kept": row_id[standing[out]]}
    return Similar(pl.DataFrame(rows, dict.fromkeys(rows, pl.Int64)), skipped)


def _texts(table: Path, fields: list[str]) -> Iterator[pl.Series]:
    """The texts of the rows, in parts: what the model reads and writes together."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(table) as opened:
        for batch in opened.iter_batches(BLOCK, columns=fields):
            yield pl.DataFrame(batch).select(pl.concat_str(fields, separator="\n").alias("text"))["text"]


def first_kept(rows: int, pairs: Iterable[Some]) -> np.ndarray:
    """For each row, in order: the most similar earlier row that is kept (of equals the first), else itself.

    pairs: in blocks, by `second` ascending, all of one `second` in one block.
    """
    standing = np.arange(rows)
    for some in pairs:
        order = np.lexsort((some.first, -some.similarity, some.second))
        for one, other in zip(some.first[order].tolist(), some.second[order].tolist(), strict=True):
            if standing[other] == other and standing[one] == one:
                standing[other] = one
    return standing
