"""Reading JSON Lines: polars parses what is in order, and each line that is not is looked at by itself.

polars turns numbers, lists and lone surrogates into texts without a word, and one broken line fails the whole parse.
So a block is trusted only when polars counts as many rows as there are lines; where a value, a repeated key or an
escape could have been turned into something else, the line is read again by Python's own decoder, which decides.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from stages.lib.byte_columns import texts_of, where
from stages.lib.quarantine import MAX_RAW_CHARS, QUARANTINE
from stages.plumbing.problem import Problem

# A file without line ends would have to be held whole.
MAX_LINE_BYTES = 1 << 28
# Bytes looked at in one go: what the processor's cache holds together with the masks made of them.
PORTION = 1 << 19
# Below this a block that polars refuses is read line by line; above it, in parts.
SMALL = 1 << 18
PARTS = 16
# The first records of a block whose keys are listed when a column is missing.
SAMPLED = 20
# What polars may have made of a number, a truth value, a list or an object.
MAYBE_NO_TEXT = r"^(?:[\[{]|-?\d[\d.eE+-]*$|true$|false$)"
# The rest of a key from its last escape on, in polars' and Python's dialect alike.
ESCAPED_KEY = r'\\(?:u[0-9a-fA-F]{4}|[^u])([^"\\]*")[ \t\r]*:'


class _Pairs(list):
    """The keys and values of one JSON object as they stand there, repeated keys included."""


DECODER = json.JSONDecoder(strict=False, object_pairs_hook=_Pairs)


def parsed(text: str, fields: dict[str, str]) -> tuple[dict[str, str | None] | None, str]:
    """One record: its values by source column, or None and the reason why it is no row.

    Raw tabs inside a text, and NaN in a column that nobody asked for, are no reason.
    """
    try:
        pairs = DECODER.decode(text)
    except (ValueError, RecursionError):
        return None, "broken_json"
    if not isinstance(pairs, _Pairs):
        return None, "no_object"
    values: dict[str, Any] = dict.fromkeys(fields.values())
    seen: set[str] = set()
    for key, value in pairs:
        if key not in values:
            continue
        if key in seen:
            return None, "repeated_key"
        seen.add(key)
        if value is not None and not isinstance(value, str):
            return None, "no_text"
        values[key] = value
    if any(value and not _is_unicode(value) for value in values.values()):
        return None, "lone_surrogate"
    return values, ""


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parsed_bytes(line: bytes, fields: dict[str, str]) -> tuple[dict[str, str | None] | None, str]:
    try:
        return parsed(line.decode(), fields)
    except UnicodeDecodeError:
        return None, "no_utf8"


class Lines:
    """Reads the blocks of one file in order and knows where it is: rows, lines and bytes so far."""

    def __init__(self, path: Path, fields: dict[str, str]) -> None:
        self.path = path
        self.fields = fields
        self.columns = list(dict.fromkeys(fields.values()))
        self.rows = self.lines = self.bytes = 0
        self._begun = (0, 0, 0)
        # A key as it may be written: with letters beyond ASCII as they are, or escaped, and slashes as well (PHP).
        self._written = [
            {
                json.dumps(column, ensure_ascii=ascii_only).replace("/", slash)
                for ascii_only in (True, False)
                for slash in ("/", r"\/")
            }
            for column in self.columns
        ]

    def cut(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Blocks of whole lines; raises Problem for a line longer than MAX_LINE_BYTES."""
        rest: list[bytes] = []
        held = 0
        for piece in pieces:
            end = piece.rfind(b"\n") + 1
            if 0 < end == len(piece) and not held:  # the rule for a file that is not packed, and nothing is copied
                yield piece
                continue
            if end:
                yield b"".join([*rest, memoryview(piece)[:end]])
                rest, held = [], 0
            rest.append(piece[end:])
            held += len(piece) - end
            if held > MAX_LINE_BYTES:
                where = f"{self.path}, line {self.lines + 1}"
                do = "is this JSON Lines? write one object per line"
                raise Problem(where, f"a line of more than {held} bytes", f"at most {MAX_LINE_BYTES}", do)
        if last := b"".join(rest):
            yield last + b"\n"

    def block(self, data: bytes) -> tuple[pl.DataFrame, pl.DataFrame, set[str]]:
        """Rows (row_id, line, offset, fields), broken records (QUARANTINE) and some of the keys of one block."""
        self._begun = (self.rows, self.lines, self.bytes)
        parts = list(self._parts(data))
        rows = pl.concat([good for good, _ in parts]).select("row_id", "line", "offset", *self._named())
        broken = pl.concat([bad for _, bad in parts])
        return rows, broken, self._keys(data, rows)

    def _named(self) -> list[pl.Expr]:
        return [pl.col(f"column_{self.columns.index(column)}").alias(name) for name, column in self.fields.items()]

    def raw_of(self, data: bytes) -> Callable[[pl.DataFrame], list[str]]:
        """Gives the original lines of rows of the block that was read last."""
        begun = self._begun[2]

        def raw(rows: pl.DataFrame) -> list[str]:
            starts = [offset - begun for offset in rows["offset"]]
            ends = (data.find(b"\n", start) for start in starts)
            return [_raw(data[start:end]) for start, end in zip(starts, ends, strict=True)]

        return raw

    def _keys(self, data: bytes, rows: pl.DataFrame) -> set[str]:
        keys = {column for name, column in self.fields.items() if rows[name].null_count() < rows.height}
        for line in data[:SMALL].split(b"\n")[:SAMPLED]:
            try:
                pairs = DECODER.decode(line.decode())
            except (ValueError, RecursionError):
                continue
            keys |= {key for key, _ in pairs} if isinstance(pairs, _Pairs) else set()
        return keys

    def _parts(self, data: bytes) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        """The block in as few parts as polars can vouch for."""
        ends = _line_ends(data)
        step = max(SMALL // 2, len(data) // PARTS)
        if (table := self._vouched(data, len(ends))) is not None:
            yield self._checked(table, data, ends)
        # No part would be smaller where nearly all of it is its last line.
        elif len(data) <= SMALL or data.find(b"\n", step) == len(data) - 1:
            yield self._line_by_line(data)
        else:
            begun = 0
            while begun < len(data):
                end = data.find(b"\n", min(begun + step, len(data) - 1)) + 1
                yield from self._parts(data[begun:end])
                begun = end

    def _vouched(self, data: bytes, lines: int) -> pl.DataFrame | None:
        """What polars reads from the block, when it is one row for each line; else None."""
        try:
            table = pl.read_ndjson(data, schema=dict.fromkeys(self.columns, pl.String))
        except pl.exceptions.PolarsError:
            return None
        table.columns = self._names()
        return table if table.height == lines else None

    def _names(self) -> list[str]:
        return [f"column_{number}" for number in range(len(self.columns))]

    def _checked(self, table: pl.DataFrame, data: bytes, ends: np.ndarray) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Number the rows; read those again by themselves in which polars may have changed a value."""
        starts = np.concatenate([[0], ends + 1])
        numbers = pl.int_range(table.height, dtype=pl.Int64, eager=True)
        rows = table.with_columns(
            (numbers + self.rows + 1).alias("row_id"),
            (numbers + self.lines + 1).alias("line"),
            (pl.Series(starts[:-1]) + self.bytes).alias("offset"),
        )
        # polars has parsed them, so they are UTF-8.
        lines = texts_of("line", data, starts)
        broken = []
        for index in self._doubtful(table, lines):
            line = data[starts[index] : ends[index]]
            values, reason = _parsed_bytes(line, self.fields)
            if values is None:
                place = rows.row(index, named=True)
                broken.append((place["row_id"], place["line"], place["offset"], reason, None, _raw(line)))
        self.rows += table.height
        self.lines += table.height
        self.bytes += len(data)
        bad = pl.DataFrame(broken, QUARANTINE, orient="row")
        return (rows.filter(~pl.col("row_id").is_in(bad["row_id"].implode())) if broken else rows), bad

    def _doubtful(self, table: pl.DataFrame, lines: pl.Series) -> list[int]:
        """The rows in which a number became a text, a key stands twice or an escape is no character, and some more."""
        no_text = _holding(table, pl.all().str.contains(MAYBE_NO_TEXT))
        escaped = lines.str.contains("\\u", literal=True).arg_true()
        # polars makes NUL of a lone surrogate.
        nul = escaped[_holding(table[escaped], pl.all().str.contains("\0", literal=True))]
        odd = escaped[self._oddly_written(lines[escaped])]
        return pl.concat([no_text, nul, odd, self._repeating(lines)]).unique().sort().to_list()

    def _repeating(self, lines: pl.Series) -> pl.Series:
        """The lines in which a key stands twice. To look for one key after the other is faster than for all at once."""
        counts = [lines.str.count_matches(_one_of(forms)) for forms in self._written]
        return pl.select(pl.any_horizontal(count > 1 for count in counts).arg_true()).to_series()

    def _oddly_written(self, lines: pl.Series) -> pl.Series:
        """The lines with a key that is escaped more than it need be: it may be one of ours a second time."""
        usual = set().union(*self._written)
        some = lines.str.contains(ESCAPED_KEY).arg_true()
        odd = [not usual.issuperset(_escaped_keys(line)) for line in lines[some]]
        return some.filter(pl.Series(odd, dtype=pl.Boolean))

    def _line_by_line(self, data: bytes) -> tuple[pl.DataFrame, pl.DataFrame]:
        good, bad = [], []
        for line in data.split(b"\n")[:-1]:
            self.lines += 1
            if line.strip():
                self.rows += 1
                values, reason = _parsed_bytes(line, self.fields)
                place = (self.rows, self.lines, self.bytes)
                if values is None:
                    bad.append((*place, reason, None, _raw(line)))
                else:
                    good.append((*(values[column] for column in self.columns), *place))
            self.bytes += len(line) + 1
        schema = {**dict.fromkeys(self._names(), pl.String), "row_id": pl.Int64, "line": pl.Int64, "offset": pl.Int64}
        return pl.DataFrame(good, schema, orient="row"), pl.DataFrame(bad, QUARANTINE, orient="row")


def _line_ends(data: bytes) -> np.ndarray:
    """Where the line ends stand (i64)."""
    letters = np.frombuffer(data, np.uint8)
    portions = range(0, len(letters), PORTION)
    found = [where(letters[begun : begun + PORTION] == ord("\n")) + begun for begun in portions]
    return np.concatenate(found)


def _holding(table: pl.DataFrame, condition: pl.Expr) -> pl.Series:
    """The rows in which the condition holds for any column."""
    return table.select(pl.any_horizontal(condition).fill_null(value=False).arg_true()).to_series()


def _one_of(literals: set[str]) -> str:
    return "|".join(map(re.escape, sorted(literals)))


def _escaped_keys(line: str) -> list[str]:
    """The keys in the line that hold an escape, as they stand there."""
    return [line[line.rfind('"', 0, one.start()) : one.end(1)] for one in re.finditer(ESCAPED_KEY, line)]


def _raw(line: bytes) -> str:
    return line[: 4 * MAX_RAW_CHARS].decode("utf-8", "backslashreplace").rstrip("\r")[:MAX_RAW_CHARS]
