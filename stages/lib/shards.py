"""Shards: numbered Parquet parts of the clean rows, and the manifest that lists them with their hashes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import polars as pl
from pydantic import Field

from stages.lib import files
from stages.lib.tables import ROWS, blocks
from stages.plumbing.problem import Problem
from stages.plumbing.section import Section

MANIFEST = "manifest.json"


class Shard(Section):
    """The section `shard`."""

    rows: Annotated[int, Field(ge=1)]


def cut(clean: Path, rows_per_shard: int) -> Iterator[pl.DataFrame]:
    """The rows of the table in consecutive parts of `rows_per_shard`, the last one shorter."""
    waiting: list[pl.DataFrame] = []
    held = 0
    for block in blocks([clean], min(rows_per_shard, ROWS)):
        waiting.append(block)
        held += block.height
        if held >= rows_per_shard:
            together = pl.concat(waiting)
            yield together.head(rows_per_shard)
            waiting = [together.slice(rows_per_shard)]
            held -= rows_per_shard
    if held:
        yield pl.concat(waiting)


def write(folder: Path, parts: Iterator[pl.DataFrame]) -> dict[str, Any]:
    """Write `00000.parquet` and on, and the manifest; returns the manifest's content."""
    folder.mkdir()
    listed = []
    for number, part in enumerate(parts):
        path = folder / f"{number:05}.parquet"
        files.write_table(path, part)
        listed.append(
            {
                "file": path.name,
                "rows": part.height,
                "bytes": path.stat().st_size,
                "sha256": files.sha256(path),
                "first_row_id": part["row_id"][0],
                "last_row_id": part["row_id"][-1],
            }
        )
    manifest = {"rows": sum(shard["rows"] for shard in listed), "shards": listed}
    files.write_json(folder / MANIFEST, manifest)
    return manifest


def listed_in(folder: Path, numbers: list[int] | None = None) -> list[Path]:
    """The shards that the manifest lists, all or some by number."""
    shards = [folder / shard["file"] for shard in files.read_json(folder / MANIFEST)["shards"]]
    beyond = [number for number in numbers or [] if number >= len(shards)]
    if beyond:
        told, wanted = f"shard {beyond[0]}", f"numbers from 0 to {len(shards) - 1}"
        raise Problem("params.yaml, split.shards", told, wanted, "correct split.shards or make shard.rows smaller")
    return shards if numbers is None else [shards[number] for number in sorted(set(numbers))]
