"""Reading and writing Parquet tables block by block, so that memory does not grow with their length."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl

# Of a block, at most.
ROWS = 1 << 16
BYTES = 1 << 27
ENCODINGS = {pl.String: "DELTA_LENGTH_BYTE_ARRAY", pl.Int64: "DELTA_BINARY_PACKED"}


@contextmanager
def growing(path: Path, schema: dict[str, pl.DataType]) -> Iterator[Callable[[pl.DataFrame], None]]:
    """Give a function that appends rows to a new zstd Parquet file; equal blocks give equal bytes.

    No dictionaries: the texts of a table hardly repeat, and to find that out takes a third of the time of writing.
    Lengths apart from the texts, and numbers as differences, which takes less time and less room. Texts are given as
    polars holds them, and nobody asks for the first and the last one of a row group.
    """
    import pyarrow.parquet as pq

    held = pl.CompatLevel.newest()
    empty = pl.DataFrame(schema=schema).to_arrow(compat_level=held)
    encodings = {name: ENCODINGS[kind] for name, kind in schema.items() if kind in ENCODINGS}
    ordered = [name for name, kind in schema.items() if kind != pl.String]
    with pq.ParquetWriter(
        path,
        empty.schema,
        compression="zstd",
        use_dictionary=False,
        column_encoding=encodings,
        write_statistics=ordered,
        store_schema=False,  # else who reads it needs an Arrow that knows texts so held
    ) as writer:

        def add(rows: pl.DataFrame) -> None:
            if rows.height:
                # Pages end where chunks do, and of these a join makes as many as there are threads.
                writer.write_table(rows.rechunk().to_arrow(compat_level=held))

        yield add


def blocks(paths: Iterable[Path], rows: int = ROWS) -> Iterator[pl.DataFrame]:
    """The rows of these tables one after the other, at most `rows` and some BYTES at a time, of one table each."""
    import pyarrow.parquet as pq

    for path in paths:
        with pq.ParquetFile(path) as table:
            parts = [table.metadata.row_group(number) for number in range(table.metadata.num_row_groups)]
            mean = sum(part.total_byte_size for part in parts) // max(1, table.metadata.num_rows)
            for batch in table.iter_batches(batch_size=max(1, min(rows, BYTES // max(1, mean)))):
                yield pl.DataFrame(batch)


def masked(paths: Iterable[Path], mask: np.ndarray) -> Iterator[pl.DataFrame]:
    """The rows of these tables for which the mask (one value for each row of all) holds, block by block."""
    begun = 0
    for block in blocks(paths):
        yield block.filter(mask[begun : begun + block.height])
        begun += block.height
