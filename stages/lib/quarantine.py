"""The quarantine: rows that were set aside, each with its place in the source, its reason and its original record."""

import polars as pl

# offset: of the record's first byte in the unpacked UTF-8 text, where the format has one. row_kept: for a
# duplicate and a near-duplicate, the row that stands for it.
QUARANTINE = {
    "row_id": pl.Int64,
    "line": pl.Int64,
    "offset": pl.Int64,
    "reason": pl.String,
    "row_kept": pl.Int64,
    "raw": pl.String,
}

# Of a longer record the beginning is kept; its line and offset lead to the rest.
MAX_RAW_CHARS = 1 << 16


def shortened(raw: str) -> str:
    """The record as the quarantine keeps it: its first 65,536 characters, lone surrogates escaped."""
    return raw[:MAX_RAW_CHARS].encode("utf-8", "backslashreplace").decode()
