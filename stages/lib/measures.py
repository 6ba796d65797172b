"""What cleaning asks of every text more than once: its length, and the hashes that stand for it."""

import polars as pl

# Two hashes of 64 bits that have nothing to do with each other, and their seeds.
HASHES = {"hash": 1, "check": 2}
CHARS = "chars"


def column(field: str, measure: str) -> str:
    """The name of the column that holds a measure of a field; no field has a dot in its name."""
    return f"{measure}.{field}"


def measured(rows: pl.DataFrame, fields: list[str]) -> pl.DataFrame:
    """The rows with the characters (u32) and the HASHES (u64) of each field."""
    found = {column(field, CHARS): pl.col(field).str.len_chars() for field in fields}
    hashes = {column(field, kind): pl.col(field).hash(seed) for field in fields for kind, seed in HASHES.items()}
    return rows.with_columns(**found, **hashes)
