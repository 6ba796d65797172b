"""Reading CSV and TSV: the delimiter is found, quotation is strict, and a record that does not fit is set aside.

A `"` of the text that begins a cell, and that nobody wrote twice within quotes, would take the lines below it for the
rest of its cell. `_quoting` tells the files of tabs in which it is a character like any other, `Swallowed` the records
of the others that are several.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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
SWALLOWED = "swallowed_lines"


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
        sample = list(_up_to(lines, decoding.SAMPLE)) if delimiter == "\t" else []
        after = list(islice(lines, 1)) if sample else []
        quoting = _quoting(begun + sample, source, cut=bool(after)) if delimiter == "\t" else csv.QUOTE_MINIMAL
        original: list[str] = []
        all_lines = _noted(chain(begun, sample, after, lines), original)
        reader = csv.reader(all_lines, delimiter=delimiter, quoting=quoting, strict=True)
        for cells in reader:
            at, begins = begins, reader.line_num + 1
            taken = original.copy()
            original.clear()
            if not cells or not (names or any(cells)):  # a blank line; above the header, empty cells too
                continue
            if not names:
                do = "set source.delimiter, or correct source.columns" if len(cells) == 1 else "correct source.columns"
                names = header(cells, source, f"{path}, line {at}", _records_of(begun, delimiter), do)
                swallowed = Swallowed.below(cells, delimiter)
            elif len(taken) > 1 and swallowed.has(taken, cells):
                # Each by itself, so that as many are counted as were lost, and none is cut off by the quarantine.
                yield from (Record(line, None, SWALLOWED, one.rstrip("\r\n")) for line, one in enumerate(taken, at))
            else:
                yield _record(at, cells, names, "".join(taken).rstrip("\r\n"), damaged=text.damaged)
    except csv.Error as error:
        told = f"{error} (a quotation mark that is never closed?)"
        do = "correct the quotation there, or export the table again as .xlsx"
        raise Problem(f"{path}, line {begins}", told, "a delimited table", do) from None


def _quoting(lines: list[str], source: Source, *, cut: bool) -> int:
    """Whether quotation is read in a file of tabs: csv.QUOTE_MINIMAL, or csv.QUOTE_NONE where `"` is a character.

    text/tab-separated-values has no quotation (IANA), and Google Sheets writes none; Excel and csv.writer do quote. It
    is none when both hold, from the header on, blank lines apart: each of these lines, cut at its tabs, has as many
    cells as the header (two or more, the wanted columns among them); and to read quotation would fail, would make one
    record of several lines, or would make more or fewer cells. So where all that is quoted are cells of one line
    without tabs it is quotation, and so it is where one line has its number of cells by quotation only.

    lines: whole ones, of the sample. cut: whether more follow; the last line by itself then tells nothing, since its
    quotation may go on below.
    """
    telling = [number for number, line in enumerate(lines) if line.strip()]
    if not telling:
        return csv.QUOTE_MINIMAL
    # What is blank at the end may stand within the quotation of the last line.
    lines = lines[telling[0] : telling[-1] + 1]
    names = lines[0].rstrip("\r\n").split("\t")
    tabs = len(names) - 1
    alike = all(line.count("\t") == tabs for line in lines if line.strip("\r\n"))
    if not tabs or not alike or header_among([("", names)], source) is None:
        return csv.QUOTE_MINIMAL
    begins = 0
    reader = csv.reader(lines, delimiter="\t", strict=True)
    try:
        for cells in reader:
            if reader.line_num > begins + 1 or (cells and len(cells) != len(names)):
                return csv.QUOTE_NONE
            begins = reader.line_num
    except csv.Error:
        return csv.QUOTE_MINIMAL if cut and begins == len(lines) - 1 else csv.QUOTE_NONE
    return csv.QUOTE_MINIMAL


@dataclass(frozen=True)
class Swallowed:
    """Tells records that are several, which a `"` at the start of a cell and a later one at an end made one.

    cells: of a record. prose: what a line of a text has where a row has its delimiter alone, None where rows have it
    too.
    """

    cells: int
    delimiter: str
    prose: re.Pattern[str] | None

    @classmethod
    def below(cls, header: list[str], delimiter: str) -> "Swallowed":
        """For the records below this header.

        A text has white space after its comma ("azul, de vidro", or its line ends there), digits around it ("3,50"), or
        a semicolon that ends an HTML entity. Rows have none of these, unless the header has a space there too; and of
        three columns and more, two that are beside each other may well be numbers.
        """
        mark = re.escape(delimiter)
        digits = rf"|(?<=\d){mark}(?=\d)" if len(header) == 2 else ""
        entity = r"|&#?\w+;" if delimiter == ";" else ""
        loose = any(name.startswith(" ") for name in header[1:])
        return cls(len(header), delimiter, None if loose else re.compile(rf"{mark}\s{digits}{entity}"))

    def has(self, lines: list[str], cells: list[str]) -> bool:
        """Whether the record that these lines make, read as these cells, is several records.

        Each line, cut at its delimiters, then has the number of cells of a record. The lines of a text seldom do, but
        may by chance, first of all with two columns: `Copo,"Um copo azul` and `bonito, barato"`. So where the record
        has that number too, two of the lines at least must be without a delimiter as texts have it.
        """
        if self.cells == 1 or any(line.count(self.delimiter) != self.cells - 1 for line in lines):
            return False
        if len(cells) != self.cells or self.prose is None:
            return True
        return sum(not self.prose.search(line) for line in lines) > 1


def _up_to(lines: Iterator[str], chars: int) -> Iterator[str]:
    """Whole lines, until they have so many characters together."""
    while chars > 0 and (line := next(lines, None)) is not None:
        chars -= len(line)
        yield line


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
