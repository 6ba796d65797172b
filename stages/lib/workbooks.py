"""Reading a sheet of an Excel workbook: numbers, dates and the stored results of formulas as text."""

import mmap
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import polars as pl

from stages.lib import growth
from stages.lib.records import LOOKED_AT, Record, header, told_apart
from stages.lib.source import Source
from stages.plumbing.problem import Problem, listed

if TYPE_CHECKING:
    from fastexcel import ExcelReader

MAX_WORKBOOK_BYTES = 1 << 31
# DEFLATE's limit (zlib, Technical Details): the directory of a smaller archive can not hide more than the above.
MAX_DEFLATE = 1032
# What the workbooks of Excel (.xlsx, .xlsb) and of OpenDocument have among their parts.
PARTS = ("xl/workbook.xml", "xl/workbook.bin", "content.xml")
# The sheets of an .xlsx by name, and what each of them is.
SHEETS, LINKS = "xl/workbook.xml", "xl/_rels/workbook.xml.rels"
# What numbers, dates and times are among the texts that fastexcel makes.
DOUBTFUL = r"^-?\d+(\.\d+)?$|^[+-]?\d{4,}-\d\d-\d\d \d\d:\d\d:\d\d"
# How fastexcel tells of a date or time where a number was asked for: the only place where it names the kind.
TOLD = re.compile(r"Expected float but got 'DateTime\(ExcelDateTime { value: (\S+), datetime_type: (\w+),")
# What zipfile raises for an archive that is damaged, encrypted or packed in a way unknown to it; and a damaged part.
UNREADABLE = (zipfile.BadZipFile, zlib.error, ET.ParseError, EOFError, RuntimeError, ValueError)


def records(path: Path, source: Source) -> Iterator[Record]:
    """The rows below the first row that is not empty. Of merged cells the first has the text, the others are empty."""
    sheet, others, cells = _read(path, source)
    place = f"{path}, sheet {sheet}"
    names: list[str] = []
    told: list[str] = []
    rows = 0
    for number, row in enumerate(cells.iter_rows(), 1):
        if not any(cell is not None and cell.strip() for cell in row):
            continue
        if names:
            rows += 1
            yield Record(number, dict(zip(names, row, strict=True)), raw=dict(zip(told, row, strict=True)), keys=names)
        else:
            first = ((f"row {at}", row) for at, row in enumerate(cells.head(number + LOOKED_AT).iter_rows(), 1))
            do = _or_sheet("correct source.columns", others)
            names = header(row, source, f"{place}, row {number}", first, do)
            told = told_apart(names)
    if not rows:
        do = _or_sheet("check that source.path names the right file", others)
        raise Problem(place, "no record", "at least one row", do)


def _read(path: Path, source: Source) -> tuple[str, list[str], pl.DataFrame]:
    """The name of the sheet to read, those of the others, and its cells."""
    import fastexcel

    try:
        _hold_size(path)
        book = fastexcel.read_excel(path)
        sheets = _sheets_of_cells(path, book.sheet_names)
        if not sheets:
            raise Problem(str(path), "no sheet of cells", "a workbook with a table", "save it again as .xlsx")
        sheet = source.sheet if source.sheet is not None else sheets[0]
        if sheet not in sheets:
            raise Problem(str(path), f"sheets {listed(sheets)}", f"sheet {sheet}", "correct source.sheet")
        return sheet, [name for name in sheets if name != sheet], _texts(book, sheet)
    except (*UNREADABLE, fastexcel.FastExcelError) as error:
        told = " ".join(str(error).split())[:200]
        raise Problem(str(path), told, "a workbook that opens", "open it and save it again as .xlsx") from None


def _sheets_of_cells(path: Path, sheets: list[str]) -> list[str]:
    """The sheets without those of an .xlsx that are charts: fastexcel reads them as empty and prints a warning."""
    with zipfile.ZipFile(path) as archive:
        if not {SHEETS, LINKS} <= set(archive.namelist()):
            return sheets
        # That expat limits entities is what keeps XML of strangers harmless.
        links, book = (ET.fromstring(archive.read(part)) for part in (LINKS, SHEETS))  # noqa: S314
    charts = {link.get("Id") for link in links if link.get("Type", "").endswith("/chartsheet")}
    of_charts = {
        sheet.get("name")
        for sheet in book.iterfind("{*}sheets/{*}sheet")
        if any(key.endswith("}id") and value in charts for key, value in sheet.items())
    }
    return [name for name in sheets if name not in of_charts]


def _texts(book: "ExcelReader", sheet: str) -> pl.DataFrame:
    """The cells as texts. fastexcel rounds numbers to nine decimals and dates every time: both are put right."""
    whole = {"idx_or_name": sheet, "header_row": None, "skip_rows": 0}
    texts = book.load_sheet(**whole, dtypes="string").to_polars()
    doubtful = [column.name for column in texts if column.str.contains(DOUBTFUL).any()]
    if not doubtful:
        return texts
    batch, told = book.load_sheet(**whole, dtypes="float", use_columns=doubtful).to_arrow_with_errors()
    floats = pl.from_arrow(batch)
    ints = book.load_sheet(**whole, dtypes="int", use_columns=doubtful).to_polars()
    cells = {texts.get_column_index(name): _exact(texts[name], floats[name], ints[name]).to_list() for name in doubtful}
    for error in told.errors if told else ():  # None where every cell was a number, or empty
        row, column = error.position
        cells[column][row] = _time(error.detail) or cells[column][row]
    return texts.with_columns(pl.Series(texts.columns[at], column, pl.String) for at, column in cells.items())


def _exact(texts: pl.Series, floats: pl.Series, ints: pl.Series) -> pl.Series:
    """The texts, with the shortest that reads back as the same number where a number was rounded.

    Of a cell that is a number fastexcel makes an int whatever it is, of a text only where it is one: then both agree.
    """
    rounded = (ints.cast(pl.Float64) != floats).fill_null(value=False)
    return floats.cast(pl.String).zip_with(rounded, texts)


def _time(told: str) -> str | None:
    """What a cell that is a time of day or a duration shows, such as 36:00:00; None for a date and for other cells.

    A moment of the first day is a time: Excel writes 12:00 as half a day after its epoch.
    """
    found = TOLD.match(told)
    if not found:
        return None
    days = float(found[1])
    if found[2] != "TimeDelta" and abs(days) >= 1:
        return None
    seconds, thousandths = divmod(round(abs(days) * 86_400_000), 1000)
    sign, rest = "-" if days < 0 else "", f".{thousandths:03}" if thousandths else ""
    return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{rest}"


def _or_sheet(do: str, others: list[str]) -> str:
    return f"{do}, or name another sheet in source.sheet: {listed(others)}" if others else do


def _hold_size(path: Path) -> None:
    """Raise Problem for a workbook that is too large or swells, whatever the directory of its archive says."""
    packed = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
        if size > MAX_WORKBOOK_BYTES:
            do = "save the sheet as CSV if you trust the file"
            raise Problem(str(path), f"{size} bytes when unpacked", f"at most {MAX_WORKBOOK_BYTES}", do)
        growth.hold(path, size, packed)
        if packed * MAX_DEFLATE > MAX_WORKBOOK_BYTES and (bad := archive.testzip()):
            raise zipfile.BadZipFile(f"{bad} is damaged, or larger than the archive says")


def is_workbook(path: Path) -> bool:
    """Whether a file that begins as a zip archive is a workbook; raises Problem for another archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except UNREADABLE as error:
        raise Problem(str(path), str(error), "a workbook that opens", "copy or download the file again") from None
    if any(part in names for part in PARTS):
        return True
    told = f"a zip archive with {listed(names) or 'nothing'}"
    do = "unpack it; or fetch a file in it through a pointer file with member: (docs/data.md)"
    raise Problem(str(path), told, "a workbook, or the table itself", do)


def refuse_old(path: Path) -> None:
    """Say what a file of the old Office format is: an encrypted workbook, or one from before 2007."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        locked = content.find("EncryptedPackage".encode("utf-16-le")) >= 0
    if locked:
        do = "open it, remove the password, and save it as .xlsx or .csv"
        raise Problem(str(path), "a password-protected workbook", "a plain .xlsx workbook", do)
    told, do = "a file in the old Office format (.xls)", "open it and save it as .xlsx or .csv"
    raise Problem(str(path), told, "a plain .xlsx workbook", do)
