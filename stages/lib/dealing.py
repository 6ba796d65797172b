"""The split of a folder of shards: identities in one pass, sides in memory, the three tables in another pass."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from stages.lib import files
from stages.lib.certificate import leakage
from stages.lib.near import Pairs, as_one, joined, near_pairs, triples
from stages.lib.sides import CROWDED, METHODS, SIDES, STRADDLING, TRAIN, Split, chosen, identities
from stages.lib.tables import growing
from stages.plumbing.problem import Problem

BEYOND_READ, BEYOND_TRAIN_ROWS = -3, -4
LEFT_OUT = {
    STRADDLING: "straddling",
    CROWDED: "crowded",
    BEYOND_READ: "beyond_read",
    BEYOND_TRAIN_ROWS: "beyond_train_rows",
}
# With near_duplicates: null only rows of the very same words are looked for.
SAME_WORDS = 1.0


@dataclass
class Dealt:
    """The side of each row_id (an index of SIDES, negative when left out), and the content of reports/split.json."""

    row_ids: np.ndarray
    side: np.ndarray
    report: dict[str, Any]


def deal(parts: list[Path], section: Split) -> Dealt:
    """Deal the rows of these shards."""
    row_ids, identity, group, strata = _keys(parts, section)
    read = chosen(identity, section.read, section.seed, "read")
    threshold = section.near_duplicates or SAME_WORDS
    pairs = _pairs(parts, row_ids[read], threshold)
    together = section.near_duplicates is not None
    near = list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) if together else []
    side = np.full(len(row_ids), BEYOND_READ)
    side[read], cluster = METHODS[section.method](group[read], strata[read], near, section)
    train = np.flatnonzero(side == TRAIN)
    side[train[~chosen(identity[train], section.train_rows, section.seed, "train_rows")]] = BEYOND_TRAIN_ROWS
    left_out = {name: int((side == code).sum()) for code, name in LEFT_OUT.items()}
    report = {
        "read": len(row_ids),
        "rows": {name: int((side == code).sum()) for code, name in enumerate(SIDES)},
        "left_out": left_out,
        "groups": {
            "count": len(np.unique(group[read])),
            "largest": _largest(group[read]),
            "clusters": len(np.unique(cluster)),
            "largest_cluster": _largest(cluster),
        },
        "leakage": leakage(pairs, row_ids[read], side[read], threshold),
    }
    return Dealt(row_ids, side, report)


def _largest(keys: np.ndarray) -> int:
    return int(np.unique(keys, return_counts=True)[1].max(initial=0))


def _keys(parts: list[Path], section: Split) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """row_id, identity (hash of all texts), group (hash) and stratum (number) of each row, in the order of row_id."""
    row_ids, identity, group, strata = [], [], [], []
    for part in parts:
        table = pl.read_parquet(part)
        texts = table.drop("row_id", "line")
        row_ids.append(table["row_id"].to_numpy())
        identity.append(identities(texts.iter_rows()))
        group.append(identities(texts.select(section.group).iter_rows()) if section.group else identity[-1])
        strata.append(table[section.stratify] if section.stratify else pl.Series([""] * table.height, dtype=pl.String))
    if not parts:
        raise Problem("the shards", "none", "at least one", "correct split.shards")
    together = pl.concat(strata)
    # Numbered by name, so that the numbers do not depend on the order of the rows.
    numbers = together.rank("dense").cast(pl.Int64).to_numpy()
    return np.concatenate(row_ids), np.concatenate(identity), np.concatenate(group), numbers


def _pairs(parts: list[Path], row_ids: np.ndarray, threshold: float) -> Pairs:
    """Near-duplicates among these rows, in all that the model reads and writes: the inputs and the response."""
    wanted = pl.DataFrame({"row_id": row_ids}).lazy()
    found = []
    for part in parts:
        table = pl.scan_parquet(part).join(wanted, on="row_id", how="semi", maintain_order="left")
        text = pl.concat_str(pl.exclude("row_id", "line"), separator="\n").alias("text")
        of_part = triples(table.select(text).collect()["text"])
        found.append(as_one(of_part) if threshold == SAME_WORDS else of_part)
    return near_pairs(joined(found), threshold)


def write(parts: list[Path], dealt: Dealt, targets: dict[str, Path]) -> None:
    """Write the three tables, shard by shard, rows in the order of row_id."""
    schema = dict(pl.read_parquet_schema(parts[0]))
    sides = pl.DataFrame({"row_id": dealt.row_ids, "side": dealt.side}, schema_overrides={"row_id": pl.Int64})
    with ExitStack() as stack:
        writers = [
            stack.enter_context(growing(stack.enter_context(files.whole(targets[name])), schema)) for name in SIDES
        ]
        for part in parts:
            table = pl.read_parquet(part).join(sides, on="row_id", maintain_order="left")
            for code, write_rows in enumerate(writers):
                write_rows(table.filter(pl.col("side") == code).drop("side"))
