"""Reading Parquet, batch by batch; numbers, dates and categories as text."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from stages.lib.quarantine import QUARANTINE
from stages.lib.records import ROWS_PER_BLOCK, Block, as_text, header
from stages.lib.source import Source
from stages.plumbing.problem import Problem


def blocks(path: Path, source: Source) -> Iterator[Block]:
    """The rows in blocks; raises Problem for a damaged file, and for a column that holds no texts."""
    fields = source.columns.fields
    begun = 0
    for part in _batches(path, source):
        numbers = pl.int_range(begun + 1, begun + part.height + 1, dtype=pl.Int64, eager=True)
        nowhere = pl.repeat(None, part.height, dtype=pl.Int64, eager=True)
        texts = [part[column].cast(pl.String).alias(name) for name, column in fields.items()]
        yield Block(
            pl.DataFrame([numbers.alias("row_id"), numbers.alias("line"), nowhere.alias("offset"), *texts]),
            pl.DataFrame(schema=QUARANTINE),
            lambda rows, part=part, begun=begun: [as_text(part.row(n - begun - 1, named=True)) for n in rows["row_id"]],
            set(part.columns),
        )
        begun += part.height


def _batches(path: Path, source: Source) -> Iterator[pl.DataFrame]:
    """The batches as tables. pyarrow reads them: on a damaged page polars' own reader ends with a panic."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _hold_columns(file.schema_arrow, path, source)
            for batch in file.iter_batches(ROWS_PER_BLOCK):
                batch.validate(full=True)  # UTF-8 above all
                yield pl.from_arrow(batch.replace_schema_metadata(None))
    except (pa.ArrowException, pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        told = " ".join(str(error).split())[:200]
        raise Problem(str(path), told, "a Parquet file", "write or download it again") from None


def _hold_columns(schema: "pa.Schema", path: Path, source: Source) -> None:  # noqa: F821 - the caller's import
    """Raise Problem unless the wanted columns are there, once each, and hold what can be a text."""
    import pyarrow as pa

    header(schema.names, source, str(path))
    for column in dict.fromkeys(source.columns.fields.values()):
        kind = schema.field(column).type
        plain = pa.types.is_dictionary(kind) or not pa.types.is_nested(kind)
        if not plain or any(test(kind) for test in (pa.types.is_binary, pa.types.is_large_binary)):
            do = "name another column in source.columns"
            raise Problem(f"{path}, column {column}", str(kind), "texts", do)
