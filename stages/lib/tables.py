"""Writing a Parquet table block by block, so that memory does not grow with its length."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl


@contextmanager
def growing(path: Path, schema: dict[str, pl.DataType]) -> Iterator[Callable[[pl.DataFrame], None]]:
    """Give a function that appends rows to a new zstd Parquet file; equal blocks give equal bytes.

    No dictionaries: the texts of a table hardly repeat, and to find that out takes a third of the time of writing.
    """
    import pyarrow.parquet as pq

    empty = pl.DataFrame(schema=schema).to_arrow()
    with pq.ParquetWriter(path, empty.schema, compression="zstd", use_dictionary=False) as writer:

        def add(rows: pl.DataFrame) -> None:
            if rows.height:
                writer.write_table(rows.to_arrow())

        yield add
