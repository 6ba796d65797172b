"""Reading a sheet of an Excel workbook: numbers, dates and the stored results of formulas as text."""

import mmap
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from stages.lib import growth
from stages.lib.records import Record, header
from stages.lib.source import Source
from stages.plumbing.problem import Problem

MAX_WORKBOOK_BYTES = 1 << 31
# DEFLATE's limit (zlib, Technical Details): the directory of a smaller archive can not hide more than the above.
MAX_DEFLATE = 1032
# What the workbooks of Excel (.xlsx, .xlsb) and of OpenDocument have among their parts.
PARTS = ("xl/workbook.xml", "xl/workbook.bin", "content.xml")
LISTED = 10
# What zipfile raises for an archive that is damaged, encrypted or packed by a method that it does not know.
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError)


def records(path: Path, source: Source) -> Iterator[Record]:
    """The rows below the first row that is not empty. Of merged cells the first has the text, the others are empty."""
    import fastexcel

    try:
        _hold_size(path)
        book = fastexcel.read_excel(path)
        if not book.sheet_names:
            raise Problem(str(path), "no sheet", "a workbook with a table", "save it again as .xlsx")
        sheet = source.sheet if source.sheet is not None else book.sheet_names[0]
        if sheet not in book.sheet_names:
            raise Problem(str(path), f"sheets {', '.join(book.sheet_names)}", f"sheet {sheet}", "correct source.sheet")
        cells = book.load_sheet(sheet, header_row=None, skip_rows=0, dtypes="string").to_polars()
    except (*UNREADABLE, fastexcel.FastExcelError) as error:
        told = " ".join(str(error).split())[:200]
        raise Problem(str(path), told, "a workbook that opens", "open it and save it again as .xlsx") from None
    names: list[str] = []
    for number, row in enumerate(cells.iter_rows(), 1):
        if not any(cell is not None and cell.strip() for cell in row):
            continue
        if names:
            values = dict(zip(names, row, strict=True))
            yield Record(number, values, raw=values)
        else:
            names = header(list(row), source, f"{path}, sheet {sheet}, row {number}")


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
    told = f"a zip archive with {', '.join(names[:LISTED]) or 'nothing'}"
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
