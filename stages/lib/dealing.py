"""The split of a folder of shards: identities in one pass, texts in another, the three tables in the last.

What is kept in memory are numbers, some hundred bytes a row; texts pass by in blocks.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from stages.lib.certificate import leakage
from stages.lib.near import near_pairs, whole_texts
from stages.lib.sides import CROWDED, METHODS, SIDES, STRADDLING, TRAIN, Split, chosen, identities
from stages.lib.tables import blocks, growing, masked
from stages.plumbing.problem import LISTED, Problem

BEYOND_READ, BEYOND_TRAIN_ROWS = -3, -4
LEFT_OUT = {
    STRADDLING: "straddling",
    CROWDED: "crowded",
    BEYOND_READ: "beyond_read",
    BEYOND_TRAIN_ROWS: "beyond_train_rows",
}


@dataclass
class Dealt:
    """The side of each row in order (an index of SIDES, negative when left out), and the content of the report."""

    side: np.ndarray
    report: dict[str, Any]


@dataclass
class Keys:
    """For each row in order: row_id, identity (hash of all texts), group (hash) and stratum (number)."""

    row_ids: np.ndarray
    identity: np.ndarray
    group: np.ndarray
    strata: np.ndarray


def deal(parts: list[Path], section: Split, place: Path) -> Dealt:
    """Deal the rows of these shards. place: a folder that holds, meanwhile, what does not fit in memory."""
    if not parts:
        raise Problem("the shards", "none", "at least one", "correct split.shards")
    keys = _keys(parts, section)
    read = chosen(keys.identity, section.read, section.seed, "read")
    pairs = near_pairs(_texts(parts, read), int(read.sum()), section.similarity, place)
    group = keys.group[read]
    side = np.full(len(read), BEYOND_READ, np.int8)
    together = pairs if section.near_duplicates is not None else []
    side[read], cluster = METHODS[section.method](group, keys.strata[read], together, section)
    train = np.flatnonzero(side == TRAIN)
    few = chosen(keys.identity[train], section.train_rows, section.seed, "train_rows")
    side[train[~few]] = BEYOND_TRAIN_ROWS
    groups, largest = _counted(group)
    clusters, largest_cluster = _counted(cluster)
    report = {
        "read": len(read),
        "rows": {name: int((side == code).sum()) for code, name in enumerate(SIDES)},
        "left_out": {name: int((side == code).sum()) for code, name in LEFT_OUT.items()},
        # Those of the other reasons are many, and chance.
        "left_out_rows": {
            LEFT_OUT[code]: keys.row_ids[side == code][:LISTED].tolist() for code in (STRADDLING, CROWDED)
        },
        "groups": {
            "count": groups,
            "largest": largest,
            "clusters": clusters,
            "largest_cluster": largest_cluster,
        },
        "leakage": leakage(pairs, keys.row_ids[read], side[read], section.similarity),
    }
    return Dealt(side, report)


def _counted(keys: np.ndarray) -> tuple[int, int]:
    """How many different keys there are, and how often the commonest one stands there."""
    counts = np.unique(keys, return_counts=True)[1]
    return len(counts), int(counts.max(initial=0))


def _keys(parts: list[Path], section: Split) -> Keys:
    row_ids, identity, group, strata = [], [], [], []
    number: dict[str, int] = {}
    for table in blocks(parts):
        texts = table.drop("row_id", "line")
        # A copy: a view of one column would keep the texts of its block in memory.
        row_ids.append(table["row_id"].to_numpy().copy())
        identity.append(identities(texts.iter_rows()))
        group.append(identities(texts.select(section.group).iter_rows()) if section.group else identity[-1])
        names = table[section.stratify] if section.stratify else [""] * table.height
        strata.append(np.fromiter((number.setdefault(name, len(number)) for name in names), np.int32))
    # Numbered by name, so that the numbers do not depend on the order of the rows.
    by_name = np.empty(len(number), np.int32)
    by_name[[number[name] for name in sorted(number)]] = np.arange(len(number))
    return Keys(*map(np.concatenate, (row_ids, identity, group)), by_name[np.concatenate(strata)])


def _texts(parts: list[Path], read: np.ndarray) -> Iterator[pl.Series]:
    for rows in masked(parts, read):
        yield from whole_texts(rows.drop("row_id", "line"))


def write(parts: list[Path], dealt: Dealt, targets: dict[str, Path]) -> None:
    """Write the three tables (new files), block by block, rows in the order of row_id."""
    schema = dict(pl.read_parquet_schema(parts[0]))
    with ExitStack() as stack:
        writers = [stack.enter_context(growing(targets[name], schema)) for name in SIDES]
        begun = 0
        for table in blocks(parts):
            side = dealt.side[begun : begun + table.height]
            begun += table.height
            for code, write_rows in enumerate(writers):
                write_rows(table.filter(side == code))
