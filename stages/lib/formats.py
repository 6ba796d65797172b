"""Which format a source has: what its first bytes show, what its name says, and what the recipe says must agree."""

import json
from pathlib import Path

from stages.lib import decoding, workbooks
from stages.lib.source import FORMATS, Source
from stages.plumbing.problem import Problem

WORKBOOK = b"PK\x03\x04"
OLD_OFFICE = b"\xd0\xcf\x11\xe0"
PARQUET = b"PAR1"
# What people give instead of a table, by its first bytes.
OTHERS = {
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"Rar!": "a RAR archive",
    b"%PDF": "a PDF document",
    b"SQLite f": "an SQLite database",
    b"ARROW1": "an Arrow file",
    b"PK\x05\x06": "an empty zip archive",
    b"\x89PNG": "a picture",
}
# Packed themselves.
TABLES = {WORKBOOK: "a workbook", PARQUET: "a Parquet file"}


def format_of(path: Path, source: Source) -> str:
    """The format, by `source.format`, else by content and name; what the first bytes contradict is a problem."""
    if path.stat().st_size == 0:
        raise Problem(str(path), "0 bytes", "a table of texts", "check that source.path names the right file")
    start = decoding.first_bytes(path, 8)
    told = source.format if source.format != "auto" else _by_name(path)
    if start.startswith(OLD_OFFICE):
        workbooks.refuse_old(path)
    if other := next((kind for magic, kind in OTHERS.items() if start.startswith(magic)), None):
        raise Problem(str(path), other, "a table of texts", "unpack or export it: .xlsx, .csv, .jsonl or .parquet")
    if start.startswith(PARQUET):
        return _agreed(path, told, "parquet")
    if start.startswith(WORKBOOK) and workbooks.is_workbook(path):
        return _agreed(path, told, "xlsx")
    return _by_content(path, source, told)


def _by_name(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz").removesuffix(".zst")
    ending = name.rpartition(".")[2]
    known = {"jsonl": "jsonl", "ndjson": "jsonl", "xlsm": "xlsx"}
    return known.get(ending, ending if ending in FORMATS else "auto")


def _agreed(path: Path, told: str, found: str) -> str:
    if told not in ("auto", found):
        do = f"rename it, or set source.format: {found}"
        raise Problem(str(path), f"a {found} file by its first bytes", f"{told}", do)
    return found


def _by_content(path: Path, source: Source, told: str) -> str:
    """The format of a text. JSON Lines is often named .json (AmazonTitles' trn.json is): an array begins with [."""
    start = decoding.sample(path)
    inner = next((kind for magic, kind in TABLES.items() if start.startswith(magic)), None)
    if kind := inner or decoding.packing_of(start):
        raise Problem(str(path), f"{kind}, packed once more", "a file that is packed once", "unpack it once")
    text = start.decode(decoding.codec_of(path, source.encoding, start), "replace").lstrip("\ufeff \t\r\n")
    begun = text[:20]
    if text[:15].lower().startswith(("<!doctype html", "<html")):
        do = "it may be a login page instead of the file: open it in a browser; or export the table as .xlsx or .csv"
        raise Problem(str(path), "an HTML page", f"a {told} file" if told != "auto" else "a table of texts", do)
    if told in ("xlsx", "parquet"):
        do = "save it again in that format, or set source.format to what it is"
        raise Problem(str(path), f"something that begins with {begun!r}", f"a {told} file", do)
    if told in ("csv", "tsv"):
        return told
    array = text[:1] == "["
    if array and (source.format == "json" or (source.format == "auto" and not _is_array_line(text))):
        return "json"
    if told == "auto" and text[:1] != "{":
        do = f"set source.format to one of {', '.join(FORMATS)}; a text without columns is no source: see model.path"
        raise Problem(str(path), f"a text that begins with {begun!r}", "a format that its name or content shows", do)
    if _is_spread(text):
        do = "write the list in it as an array or as lines, for example with jq -c '.rows[]'"
        raise Problem(str(path), "one JSON object over several lines", "one object per line, or one array", do)
    return "jsonl"


def _is_array_line(text: str) -> bool:
    """Whether the first line is a whole array by itself while more lines follow: a broken row of JSON Lines."""
    line, _, rest = text.partition("\n")
    return line.rstrip().endswith("]") and rest.lstrip()[:1] == "{"


def _is_spread(text: str) -> bool:
    """Whether an object begins in the first line and goes on in others; a line that is cut is none."""
    line, _, rest = text.partition("\n")
    if line.strip() == "{":
        return rest.lstrip()[:1] in ('"', "}")
    try:
        _, end = json.JSONDecoder(strict=False).raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return text[:1] == "{" and end > len(line)
