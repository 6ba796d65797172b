"""Reading CSV and TSV: the delimiter is found, quotation is strict, and a record that does not fit is set aside."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from stages.lib import decoding
from stages.lib.records import LOOKED_AT, NO_UTF8, Record, Text, header, header_among, is_unicode
from stages.lib.source import Source
from stages.plumbing.problem import Problem

MAX_CELL_CHARS = 1 << 24
# A file without line ends would have to be held whole.
MAX_LINE_CHARS = 1 << 28
MARKS = ",;\t|"


def records(path: Path, source: Source) -> Iterator[Record]:
    """The records below the header; raises Problem for a header without the columns, and where quotation breaks."""
    csv.field_size_limit(MAX_CELL_CHARS)
    text = Text(decoding.blocks(path, source.encoding))
    lines = _lines(text, path)
    begun = _begun(lines)
    # "sep=;" is what Excel writes to say what the delimiter is.
    said = re.fullmatch(r'sep=([^"\r\n])\s*', begun[-1])
    if said:
        begun[-1] = "\n"
        begun += _begun(lines)
    begun += islice(lines, LOOKED_AT)
    begins = 1
    names: list[str] = []
    try:
        delimiter = source.delimiter or (said[1] if said else _delimiter(begun, path, source))
        original: list[str] = []
        reader = csv.reader(_noted(chain(begun, lines), original), delimiter=delimiter, strict=True)
        for cells in reader:
            at, begins = begins, reader.line_num + 1
            raw = "".join(original).rstrip("\r\n")
            original.clear()
            if not cells or not (names or any(cells)):  # a blank line; above the header, empty cells too
                continue
            if not names:
                do = "set source.delimiter, or correct source.columns" if len(cells) == 1 else "correct source.columns"
                names = header(cells, source, f"{path}, line {at}", _records_of(begun, delimiter), do)
            else:
                yield _record(at, cells, names, raw, damaged=text.damaged)
    except csv.Error as error:
        told = f"{error} (a quotation mark that is never closed?)"
        raise Problem(f"{path}, line {begins}", told, "a delimited table", "correct the quotation there") from None


def _noted(lines: Iterable[str], into: list[str]) -> Iterator[str]:
    """The lines, each of which is noted as it is taken: together they are the record that they make."""
    for line in lines:
        into.append(line)
        yield line


def _record(line: int, cells: list[str], names: list[str], raw: str, *, damaged: bool) -> Record:
    if damaged and not is_unicode(raw):
        return Record(line, None, NO_UTF8, raw)
    if len(cells) != len(names):
        return Record(line, None, "wrong_number_of_cells", raw)
    return Record(line, {name: cell or None for name, cell in zip(names, cells, strict=True)}, raw=raw, keys=names)


def _lines(texts: Iterable[str], path: Path) -> Iterator[str]:
    """Lines with their ends (LF, CRLF or CR, nothing else: U+2028 is a character of a text); one may span pieces."""
    rest = ""
    for text in texts:
        lines = io.StringIO(rest + text, newline="").readlines()
        # What does not end in LF may go on in the next piece, be it only with the LF of a CRLF.
        rest = lines.pop() if lines and not lines[-1].endswith("\n") else ""
        if len(rest) > MAX_LINE_CHARS:
            do = "is this a delimited table? It has no line ends"
            raise Problem(str(path), f"a line of more than {len(rest)} characters", f"at most {MAX_LINE_CHARS}", do)
        yield from lines
    if rest:
        yield rest


def _begun(lines: Iterator[str]) -> list[str]:
    """The lines up to the first that is not blank."""
    begun = []
    for line in lines:
        begun.append(line)
        if line.strip():
            break
    return begun or [""]


def _records_of(lines: list[str], delimiter: str) -> list[tuple[str, list[str]]]:
    """Where each record ends, and its cells, as far as that can be told from the first lines."""
    reader = csv.reader(lines, delimiter=delimiter)
    return [(f"line {reader.line_num}", cells) for cells in reader if any(cells)]


def _delimiter(begun: list[str], path: Path, source: Source) -> str:
    """The delimiter that makes the wanted columns of one of the first records, else the most cells of the first."""
    tabs = path.name.lower().removesuffix(".gz").removesuffix(".zst").endswith(".tsv") or source.format == "tsv"
    marks = sorted(MARKS, key=lambda mark: mark != "\t") if tabs else MARKS
    found = {mark: _records_of(begun, mark) for mark in marks}
    making = [mark for mark in marks if header_among(found[mark], source)]
    return making[0] if making else max(marks, key=lambda mark: len(found[mark][0][1]) if found[mark] else 0)
