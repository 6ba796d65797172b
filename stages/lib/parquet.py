"""Reading Parquet, batch by batch; numbers, truth values, dates, times and categories as text."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from stages.lib.quarantine import QUARANTINE
from stages.lib.records import ROWS_PER_BLOCK, Block, as_text, header, told_apart
from stages.lib.source import Source
from stages.plumbing.problem import Problem


def blocks(path: Path, source: Source) -> Iterator[Block]:
    """The rows in blocks; columns go by their trimmed names alone, as in the other tables.

    Raises Problem for a damaged file, and for a wanted column that holds no texts; other columns may hold anything.
    """
    begun = 0
    for batch, texts in _batches(path, source):
        numbers = pl.int_range(begun + 1, begun + batch.num_rows + 1, dtype=pl.Int64, eager=True)
        nowhere = pl.repeat(None, batch.num_rows, dtype=pl.Int64, eager=True)
        yield Block(
            pl.DataFrame([numbers.alias("row_id"), numbers.alias("line"), nowhere.alias("offset"), *texts]),
            pl.DataFrame(schema=QUARANTINE),
            lambda rows, batch=batch, begun=begun: _raw(batch, (rows["row_id"] - begun - 1).to_list()),
            set(batch.schema.names),
        )
        begun += batch.num_rows


def _batches(path: Path, source: Source) -> Iterator[tuple["pa.RecordBatch", list[pl.Series]]]:  # noqa: F821
    """The batches and their texts by field. pyarrow reads them: on a damaged page polars' own reader panics."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = _names(file.schema_arrow, path, source)
            for batch in file.iter_batches(ROWS_PER_BLOCK):
                named = batch.rename_columns(names)
                texts = [_texts(named.column(column)).alias(name) for name, column in source.columns.fields.items()]
                yield named, texts
    except (pa.ArrowException, pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        told = " ".join(str(error).split())[:200]
        raise Problem(str(path), told, "a Parquet file", "write or download it again") from None


def _names(schema: "pa.Schema", path: Path, source: Source) -> list[str]:  # noqa: F821 - the callers' import
    """The columns' names, trimmed; raises Problem unless the wanted ones are there, once each, and become texts."""
    names = header(schema.names, source, str(path))
    for column in dict.fromkeys(source.columns.fields.values()):
        kind = schema.field(names.index(column)).type
        if not _becomes_text(kind):
            wanted = "texts, truth values, dates, times, or numbers of up to 128 bits; time zones by name"
            do = "name another column in source.columns, or write this one as texts"
            raise Problem(f"{path}, column {column}", str(kind), wanted, do)
    return names


def _becomes_text(kind: "pa.DataType") -> bool:  # noqa: F821
    from pyarrow import JsonType, types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    texts = (types.is_string, types.is_large_string, types.is_string_view, types.is_null)
    numbers = (types.is_integer, types.is_floating, types.is_decimal32, types.is_decimal64, types.is_decimal128)
    others = (types.is_boolean, types.is_date, types.is_time)
    known = types.is_timestamp(kind) and _is_known(kind)
    return known or isinstance(kind, JsonType) or any(test(kind) for test in (*texts, *numbers, *others))


def _is_known(kind: "pa.TimestampType") -> bool:  # noqa: F821
    """Whether polars knows the zone of such times: those of half an hour it knows by name alone."""
    import pyarrow as pa

    try:
        pl.from_arrow(pa.array([], kind))
    except pl.exceptions.PolarsError:
        return False
    return True


def _texts(column: "pa.Array") -> pl.Series:  # noqa: F821
    """A column as texts. A date outside the years 1 to 9999 is none: on most of them polars panics."""
    import pyarrow as pa

    column.validate(full=True)  # UTF-8 above all
    values = pl.from_arrow(column.storage if isinstance(column, pa.ExtensionArray) else column)
    if values.dtype in (pl.Date, pl.Datetime):
        values = values.zip_with(values.dt.year().is_between(1, 9999), values.clear(len(values)))
    # A cast would leave out the fractions of a second.
    return values.dt.to_string() if values.dtype == pl.Time else values.cast(pl.String)


def _raw(batch: "pa.RecordBatch", places: list[int]) -> list[str]:  # noqa: F821
    columns = [[_shown(column[place]) for place in places] for column in batch]
    names = told_apart(batch.schema.names)
    return [as_text(dict(zip(names, values, strict=True))) for values in zip(*columns, strict=True)]


def _shown(value: "pa.Scalar") -> object:  # noqa: F821
    """The value, or its type where Python has no such value (a date of the year 148108, bytes that are no UTF-8)."""
    try:
        return value.as_py()
    except (ValueError, OverflowError):  # pyarrow's own errors among them
        return f"<{value.type} that cannot be shown>"
