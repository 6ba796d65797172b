"""Reading a source of any format as blocks of rows, with every record counted and its place in the file known."""

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import Any, Literal

import polars as pl

from stages.lib import decoding
from stages.lib.json_lines import Lines, parsed
from stages.lib.quarantine import QUARANTINE, shortened
from stages.lib.source import Source
from stages.plumbing.problem import Problem

ROWS_PER_BLOCK = 50_000
# Numbers of columns that a message lists.
LISTED = 20
MAX_CELL_CHARS = 1 << 24
MAX_WORKBOOK_BYTES = 1 << 31

WORKBOOK = b"PK\x03\x04"
OLD_OFFICE = b"\xd0\xcf\x11\xe0"
PARQUET = b"PAR1"


@dataclass
class Block:
    """Some consecutive records of the source.

    rows: row_id, line, offset, then one String column per field. broken: records that are no row, as QUARANTINE.
    raw: gives the original records of some of the `rows`. keys: columns that were seen in the source.
    """

    rows: pl.DataFrame
    broken: pl.DataFrame
    raw: Callable[[pl.DataFrame], list[str]]
    keys: set[str] = field(default_factory=set)


def read(path: Path, source: Source) -> Iterator[Block]:
    """All records of the file, in order; raises Problem for a file that is not what it should be.

    A wanted column that no record has is a problem too, found at the end where the format has no header: a JSON key
    may well be seen late.
    """
    kind = format_of(path, source)
    seen: set[str] = set()
    records = 0
    for block in READERS[kind](path, source):
        records += block.rows.height + block.broken.height
        seen |= block.keys
        yield block
    if not records:
        raise Problem(str(path), "no record", "at least one row", "check that source.path names the right file")
    _all_there(sorted(seen), source, str(path))


def _all_there(found: list[str], source: Source, where: str) -> None:
    wanted = list(dict.fromkeys(source.columns.fields.values()))
    missing = [column for column in wanted if column not in found]
    if missing:
        listed = ", ".join(found[:LISTED]) + (f" and {len(found) - LISTED} more" if len(found) > LISTED else "")
        told = f"columns {listed or 'none'}; not there: {', '.join(missing)}"
        raise Problem(where, told, f"columns {', '.join(wanted)}", "correct source.columns")


# --- which format


def format_of(path: Path, source: Source) -> str:
    """The format, by `source.format`, else by content and name; what the first bytes contradict is a problem."""
    if path.stat().st_size == 0:
        raise Problem(str(path), "0 bytes", "a table of texts", "check that source.path names the right file")
    start = decoding.first_bytes(path, 8)
    told = source.format if source.format != "auto" else _by_name(path)
    if start.startswith(OLD_OFFICE):
        do = "open it, remove the password, and save it as .xlsx or .csv"
        raise Problem(str(path), "an old or password-protected Office file", "a plain .xlsx workbook", do)
    if start.startswith(PARQUET):
        return _agreed(path, told, "parquet")
    if start.startswith(WORKBOOK):
        return _agreed(path, told, "xlsx")
    if told in ("xlsx", "parquet"):
        text = decoding.sample(path)[:200].decode("utf-8", "replace").strip()
        kind = "an HTML page" if text[:1] == "<" else f"something that begins with {text[:20]!r}"
        do = "save it again in that format, or set source.format to what it is"
        raise Problem(str(path), kind, f"a {told} file", do)
    return _by_content(path, source, told)


def _by_name(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz").removesuffix(".zst")
    ending = name.rpartition(".")[2]
    known = {"jsonl": "jsonl", "ndjson": "jsonl", "xlsm": "xlsx"}
    return known.get(ending, ending if ending in READERS else "auto")


def _agreed(path: Path, told: str, found: str) -> str:
    if told not in ("auto", found):
        raise Problem(
            str(path), f"a {found} file by its first bytes", f"{told}", f"rename it, or set source.format: {found}"
        )
    return found


def _by_content(path: Path, source: Source, told: str) -> str:
    """JSON Lines is often named .json (AmazonTitles' trn.json is): an array begins with [, anything else is lines."""
    if told not in ("auto", "json", "jsonl"):
        return told
    start = decoding.sample(path)
    encoding = decoding.encoding_of(start) if source.encoding == "auto" else source.encoding
    text = start.decode(encoding, "replace").lstrip("\ufeff \t\r\n")
    if source.format == "auto" and text[:1] == "[" and not _is_array_line(text):
        return "json"
    if told == "auto" and text[:1] != "{":
        raise Problem(
            str(path),
            f"a text that begins with {text[:20]!r}",
            "a format that its name or content shows",
            f"set source.format to one of {', '.join(READERS)}",
        )
    return told if source.format == "json" and text[:1] == "[" else "jsonl"


def _is_array_line(text: str) -> bool:
    """Whether the first line is a whole array by itself while more lines follow: a broken row of JSON Lines."""
    line, _, rest = text.partition("\n")
    return line.rstrip().endswith("]") and rest.lstrip()[:1] == "{"


# --- formats of lines and of records


def _json_lines(path: Path, source: Source) -> Iterator[Block]:
    lines = Lines(path, source.columns.fields)
    for data in lines.cut(decoding.blocks(path, source.encoding)):
        rows, broken, keys = lines.block(data)
        yield Block(rows, broken, lines.raw_of(data), keys)


@dataclass
class Record:
    """One record of a format that is read record by record."""

    line: int
    values: dict[str, Any] | None
    reason: str = ""
    raw: Any = None


def _blocks(records: Iterable[Record], source: Source) -> Iterator[Block]:
    """Number the records and gather them to blocks."""
    fields = source.columns.fields
    numbered = zip(count(1), records, strict=False)
    while part := list(islice(numbered, ROWS_PER_BLOCK)):
        originals = {row_id: record.raw for row_id, record in part}
        good = [
            (row_id, r.line, None, *(r.values[c] for c in fields.values()))
            for row_id, r in part
            if r.values is not None
        ]
        bad = [(row_id, r.line, None, r.reason, None, _as_text(r.raw)) for row_id, r in part if r.values is None]
        schema = {"row_id": pl.Int64, "line": pl.Int64, "offset": pl.Int64, **dict.fromkeys(fields, pl.String)}
        keys = {key for _, r in part if isinstance(r.raw, dict) for key in r.raw}
        yield Block(
            pl.DataFrame(good, schema, orient="row"),
            pl.DataFrame(bad, QUARANTINE, orient="row"),
            lambda rows, originals=originals: [_as_text(originals[row_id]) for row_id in rows["row_id"]],
            keys,
        )


def _as_text(raw: object) -> str:
    return shortened(raw if isinstance(raw, str) else json.dumps(raw, ensure_ascii=False, default=str))


def _json_array(path: Path, source: Source) -> Iterator[Block]:
    return _blocks(_array_records(path, source), source)


def _array_records(path: Path, source: Source) -> Iterator[Record]:
    """The elements of one JSON array, decoded one after the other without holding the array."""
    pieces = decoding.blocks(path, source.encoding)
    decoder = json.JSONDecoder(strict=False)
    text, at, line, ended = "", 0, 1, False
    decode = io.IncrementalNewlineDecoder(_utf8(), translate=False)

    def more() -> bool:
        nonlocal text, at, ended
        piece = next(pieces, None)
        ended = piece is None
        text, at = text[at:] + decode.decode(piece or b"", final=ended), 0
        return not ended

    def skipped(characters: str) -> str:
        """The next character that is not one of these ('' at the end)."""
        nonlocal at, line
        while True:
            while at < len(text) and text[at] in characters:
                line += text[at] == "\n"
                at += 1
            if at < len(text):
                return text[at]
            if not more():
                return ""

    skipped(" \t\r\n\ufeff")
    at += 1  # the opening bracket, which told the format
    while (found := skipped(" \t\r\n,")) != "]":
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            if found and not ended and more():
                continue
            told = f"{' '.join(str(error).split())[:200]}" if found else "no closing bracket"
            do = "correct the file there, or write one object per line: then a broken one is set aside by itself"
            raise Problem(f"{path}, line {line}", told, "a JSON array of objects", do) from None
        raw = text[at:end]
        values, reason = parsed(raw, source.columns.fields)
        yield Record(line, values, reason, value if isinstance(value, dict) else raw)
        line += raw.count("\n")
        at = end


def _utf8() -> Any:
    import codecs

    return codecs.getincrementaldecoder("utf-8")("replace")


def _delimited(path: Path, source: Source) -> Iterator[Block]:
    return _blocks(_delimited_records(path, source), source)


def _delimited_records(path: Path, source: Source) -> Iterator[Record]:
    """The records of a CSV or TSV file; one with more or fewer cells than the header is set aside."""
    csv.field_size_limit(MAX_CELL_CHARS)
    decode = _utf8()
    texts = (decode.decode(piece).replace("\0", "\ufffd") for piece in decoding.blocks(path, source.encoding))
    lines = _lines(texts)
    first = next(lines, "")
    delimiter = source.delimiter or _delimiter(first, path)
    reader = csv.reader(_chained(first, lines), delimiter=delimiter, strict=True)
    begins = 1
    header: list[str] = []
    try:
        for cells in reader:
            begun, begins = begins, reader.line_num + 1
            if not any(cells):
                continue
            if not header:
                header = _header(cells, source, f"{path}, line {begun}")
            elif len(cells) == len(header):
                values = {name: cell or None for name, cell in zip(header, cells, strict=True)}
                yield Record(begun, values, raw=values)
            else:
                yield Record(begun, None, "wrong_number_of_cells", delimiter.join(cells))
    except csv.Error as error:
        told = f"{error} (a quotation mark that is never closed?)"
        raise Problem(f"{path}, line {begins}", told, "a delimited table", "correct the quotation there") from None


def _lines(texts: Iterable[str]) -> Iterator[str]:
    """Lines with their ends; a line may stretch over pieces."""
    rest = ""
    for text in texts:
        *whole, rest = (
            (rest + text).splitlines(keepends=True)
            if "\x0b" not in text and "\x0c" not in text
            else io.StringIO(rest + text, newline="").readlines()
        )
        yield from whole
    yield rest


def _chained(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _delimiter(header: str, path: Path) -> str:
    """The delimiter that the header line uses most; a TSV's by its name."""
    if _by_name(path) == "tsv":
        return "\t"
    return max(",;\t|", key=lambda mark: (header.count(mark), mark == ","))


def _header(cells: list[str | None], source: Source, where: str) -> list[str]:
    """The names of the columns, trimmed; raises Problem when a wanted one is missing or stands there twice."""
    names = [(cell or "").strip().removeprefix("\ufeff") for cell in cells]
    _all_there(names, source, where)
    twice = sorted({name for name in source.columns.fields.values() if names.count(name) > 1})
    if twice:
        raise Problem(
            where, f"more than one column {', '.join(twice)}", "each name once", "rename one of them in the file"
        )
    return names


def _workbook(path: Path, source: Source) -> Iterator[Block]:
    return _blocks(_sheet_records(path, source), source)


def _sheet_records(path: Path, source: Source) -> Iterator[Record]:
    """The rows below the first row that is not empty; numbers, dates and results of formulas as text."""
    import fastexcel

    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAX_WORKBOOK_BYTES:
            told = f"{size} bytes when unpacked"
            raise Problem(
                str(path), told, f"at most {MAX_WORKBOOK_BYTES}", "save the sheet as CSV if you trust the file"
            )
        book = fastexcel.read_excel(path)
        sheet = source.sheet if source.sheet is not None else book.sheet_names[0]
        if sheet not in book.sheet_names:
            raise Problem(str(path), f"sheets {', '.join(book.sheet_names)}", f"sheet {sheet}", "correct source.sheet")
        cells = book.load_sheet(sheet, header_row=None, skip_rows=0, dtypes="string").to_polars()
    except (zipfile.BadZipFile, fastexcel.FastExcelError) as error:
        told = " ".join(str(error).split())[:200]
        raise Problem(str(path), told, "a workbook that opens", "open it and save it again as .xlsx") from None
    header: list[str] = []
    for number, row in enumerate(cells.iter_rows(), 1):
        if not any(cell is not None and cell.strip() for cell in row):
            continue
        if header:
            values = dict(zip(header, row, strict=True))
            yield Record(number, values, raw=values)
        else:
            header = _header(list(row), source, f"{path}, sheet {sheet}, row {number}")


def _parquet(path: Path, source: Source) -> Iterator[Block]:
    fields = source.columns.fields
    try:
        table = pl.scan_parquet(path)
        schema = table.collect_schema()
        rows = table.select(pl.len()).collect().item()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise Problem(str(path), " ".join(str(error).split())[:200], "a Parquet file", "write it again") from None
    _all_there(schema.names(), source, str(path))
    for column in dict.fromkeys(fields.values()):
        if schema[column].is_nested() or schema[column] == pl.Binary:
            raise Problem(
                f"{path}, column {column}", str(schema[column]), "texts", "name another column in source.columns"
            )
    for start in range(0, rows, ROWS_PER_BLOCK):
        part = table.slice(start, ROWS_PER_BLOCK).collect()
        numbers = pl.int_range(start + 1, start + part.height + 1, dtype=pl.Int64, eager=True)
        texts = [part[column].cast(pl.String).alias(name) for name, column in fields.items()]
        frame = pl.DataFrame(
            [
                numbers.alias("row_id"),
                numbers.alias("line"),
                pl.repeat(None, part.height, dtype=pl.Int64, eager=True).alias("offset"),
                *texts,
            ]
        )
        yield Block(
            frame,
            pl.DataFrame(schema=QUARANTINE),
            lambda rows, part=part, start=start: [
                _as_text(part.row(n - start - 1, named=True)) for n in rows["row_id"]
            ],
            set(schema.names()),
        )


READERS: dict[Literal["jsonl", "json", "csv", "tsv", "xlsx", "parquet"], Callable[[Path, Source], Iterator[Block]]] = {
    "jsonl": _json_lines,
    "json": _json_array,
    "csv": _delimited,
    "tsv": _delimited,
    "xlsx": _workbook,
    "parquet": _parquet,
}
