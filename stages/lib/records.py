"""What every reader gives: blocks of consecutive records, numbered and with their place in the source."""

import codecs
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any

import polars as pl

from stages.lib.quarantine import QUARANTINE, shortened
from stages.lib.source import Source
from stages.plumbing.problem import Problem, listed

ROWS_PER_BLOCK = 50_000
# Lines or rows after the first in which a header is looked for.
LOOKED_AT = 20
NO_UTF8 = "no_utf8"


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


@dataclass
class Record:
    """One record of a format that is read record by record: its values by column, or None and the reason.

    raw: the original, as text or as what JSON can write. keys: the columns that it has.
    """

    line: int
    values: dict[str, Any] | None
    reason: str = ""
    raw: Any = None
    keys: Iterable[str] = ()


def gathered(records: Iterable[Record], source: Source) -> Iterator[Block]:
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
        bad = [(row_id, r.line, None, r.reason, None, as_text(r.raw)) for row_id, r in part if r.values is None]
        schema = {"row_id": pl.Int64, "line": pl.Int64, "offset": pl.Int64, **dict.fromkeys(fields, pl.String)}
        keys = set().union(*(record.keys for _, record in part))
        yield Block(
            pl.DataFrame(good, schema, orient="row"),
            pl.DataFrame(bad, QUARANTINE, orient="row"),
            lambda rows, originals=originals: [as_text(originals[row_id]) for row_id in rows["row_id"]],
            keys,
        )


def as_text(raw: object) -> str:
    """The record as the quarantine keeps it; a byte that was no UTF-8 is shown by its number."""
    text = raw if isinstance(raw, str) else json.dumps(raw, ensure_ascii=False, default=str)
    if not is_unicode(text):
        text = re.sub("[\udc80-\udcff]", lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", text)
    return shortened(text)


def is_unicode(text: str) -> bool:
    """Whether the text has no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Text:
    """Pieces of UTF-8 as text. Bytes that are none become lone surrogates (PEP 383); `damaged`: whether any were."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.damaged = False
        self._pieces = iter(pieces)

    def __iter__(self) -> Iterator[str]:
        decode = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        for piece in self._pieces:
            yield self._noted(decode.decode(piece))
        yield self._noted(decode.decode(b"", final=True))

    def _noted(self, text: str) -> str:
        self.damaged = self.damaged or not is_unicode(text)
        return text


def told_apart(names: list[str]) -> list[str]:
    """The names of all columns, so that none hides another: one that is empty or repeated has its number with it."""
    taken, apart = {""}, []
    for number, name in enumerate(names, 1):
        while name in taken:
            name = f"{name} [{number}]".lstrip()  # noqa: PLW2901
        taken.add(name)
        apart.append(name)
    return apart


def all_there(found: list[str], source: Source, where: str, do: str = "correct source.columns") -> None:
    """Raise Problem, with what to do, when a column that the recipe names is not among those found.

    A name that only has its accents written in another way (Unicode's NFC or NFD) looks the same: what to do says so.
    """
    wanted = list(dict.fromkeys(source.columns.fields.values()))
    missing = [column for column in wanted if column not in found]
    if missing:
        told = f"columns {listed(found) or 'none'}; not there: {', '.join(missing)}"
        alike = [name for column in missing for name in found if _composed(name) == _composed(column)]
        if alike:
            names = ", ".join(map(json.dumps, alike))
            do = f"{do}: on one side accents are characters of their own; write, quotes included, {names}"
        raise Problem(where, told, f"columns {', '.join(wanted)}", do)


Row = Sequence[str | None]


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _names(cells: Row, source: Source) -> list[str]:
    """The names, trimmed; those that the recipe has are spelt as there, since macOS writes accents apart (NFD)."""
    spelt = {_composed(column): column for column in source.columns.fields.values()}
    names = ((cell or "").strip().removeprefix("\ufeff") for cell in cells)
    return [spelt.get(_composed(name), name) for name in names]


def header_among(rows: Iterable[tuple[str, Row]], source: Source) -> str | None:
    """The place of the first of some rows, each with its place, that has all wanted columns."""
    wanted = set(source.columns.fields.values())
    return next((place for place, cells in rows if wanted.issubset(_names(cells, source))), None)


def header(
    cells: Row, source: Source, where: str, rows: Iterable[tuple[str, Row]] = (), do: str = "correct source.columns"
) -> list[str]:
    """The names of the columns, spelt as the recipe does; raises Problem when a wanted one is missing or there twice.

    rows: with their places, some of those below; if the wanted columns stand in one of them, the problem says so.
    do: what to do otherwise.
    """
    names = _names(cells, source)
    if place := header_among(rows, source):
        do = f"the columns stand in {place}: delete what is above it"
    all_there(names, source, where, do)
    twice = sorted({name for name in source.columns.fields.values() if names.count(name) > 1})
    if twice:
        told = f"more than one column {', '.join(twice)}"
        raise Problem(where, told, "each name once", "rename one of them in the file")
    return names
