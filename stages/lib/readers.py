"""Reading a source of any format as blocks of rows, with every record counted and its place in the file known."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from stages.lib import decoding, delimited, json_array, parquet, workbooks
from stages.lib.formats import format_of
from stages.lib.json_lines import Lines
from stages.lib.records import Block, all_there, gathered
from stages.lib.source import Source
from stages.plumbing.problem import Problem


def read(path: Path, source: Source) -> Iterator[Block]:
    """All records of the file, in order; raises Problem for a file that is not what it should be.

    A wanted column that no record has is a problem too, found at the end where the format has no header: a JSON key
    may well be seen late.
    """
    kind = format_of(path, source)
    seen: set[str] = set()
    rows = 0
    broken: Counter[str] = Counter()
    for block in READERS[kind](path, source):
        rows += block.rows.height
        broken.update(block.broken["reason"])
        seen |= block.keys
        yield block
    if rows:
        all_there(sorted(seen), source, str(path))
    elif broken:
        counts = ", ".join(f"{reason} {number}" for reason, number in sorted(broken.items()))
        do = f"it was read as {kind}: set source.format, and source.encoding, to what it is"
        raise Problem(str(path), f"no record that can be read ({counts})", "at least one row", do)
    else:
        raise Problem(str(path), "no record", "at least one row", "check that source.path names the right file")


def _json_lines(path: Path, source: Source) -> Iterator[Block]:
    lines = Lines(path, source.columns.fields)
    for data in lines.cut(decoding.blocks(path, source.encoding)):
        rows, broken, keys = lines.block(data)
        yield Block(rows, broken, lines.raw_of(data), keys)


READERS: dict[Literal["jsonl", "json", "csv", "tsv", "xlsx", "parquet"], Callable[[Path, Source], Iterator[Block]]] = {
    "jsonl": _json_lines,
    "json": lambda path, source: gathered(json_array.records(path, source), source),
    "csv": lambda path, source: gathered(delimited.records(path, source), source),
    "tsv": lambda path, source: gathered(delimited.records(path, source), source),
    "xlsx": lambda path, source: gathered(workbooks.records(path, source), source),
    "parquet": parquet.blocks,
}
