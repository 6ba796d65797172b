"""Dealing rows to train, validation and test: by hash of the group, or stratified with exact shares."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Annotated, Literal, Self

import numpy as np
import xxhash
from pydantic import Field, model_validator

from stages.plumbing.section import Section

SIDES = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)
# Of rows that no side may have: their neighbours stand on different sides, or there are too many of them.
STRADDLING, CROWDED = -1, -2

Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class Split(Section):
    """The section `split`."""

    seed: int
    method: Literal["hash", "exact"]
    validation: Share
    test: Share
    stratify: str | None
    group: list[str] | None
    near_duplicates: Annotated[float, Field(gt=0, le=1)] | None
    max_cluster: Count
    shards: list[Annotated[int, Field(ge=0)]] | None
    read: Count | None
    train_rows: Count | None
    folds: Annotated[int, Field(ge=2)] | None
    fold: Annotated[int, Field(ge=0)]
    evaluate_on: Literal["test", "validation"]
    max_leakage: Annotated[float, Field(ge=0, le=1)]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.validation + (1 / self.folds if self.folds else self.test) >= 1:
            raise ValueError("shares of validation and test (with folds: 1 / folds) that leave rows to train on")
        if self.folds and self.fold >= self.folds:
            raise ValueError(f"a fold below folds ({self.folds}), not {self.fold}")
        if self.stratify and self.method != "exact":
            raise ValueError("method: exact where stratify names a column (a hash knows no shares)")
        if self.group == []:
            raise ValueError("null or at least one field in group")
        return self


# --- chance: a place between 0 and 1 from an identity, a seed and a purpose, the same everywhere and for ever


def identities(texts: Iterable[tuple[str | None, ...]]) -> np.ndarray:
    """A 64-bit hash (xxh64) of each tuple of texts."""
    digest = xxhash.xxh64_intdigest
    return np.fromiter((digest("\x1f".join(text or "" for text in row).encode()) for row in texts), np.uint64)


def places(identity: np.ndarray, seed: int, purpose: str) -> np.ndarray:
    """Where each identity falls between 0 and 1: mixed with seed and purpose by splitmix64's finaliser."""
    mixed = identity ^ np.uint64(xxhash.xxh64_intdigest(f"{seed}:{purpose}".encode()))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return mixed / 2.0**64


def chosen(identity: np.ndarray, most: int | None, seed: int, purpose: str) -> np.ndarray:
    """A mask of at most `most` rows, those whose places come first; equal places (equal rows) in order."""
    mask = np.zeros(len(identity), bool)
    mask[np.argsort(places(identity, seed, purpose), kind="stable")[:most]] = True
    return mask


# --- by hash


def by_hash(
    group: np.ndarray, strata: np.ndarray, pairs: list[tuple[int, int]], section: Split
) -> tuple[np.ndarray, np.ndarray]:
    """Side and cluster of each row; rows come in the order of row_id, so those added at the end move none before them.

    A row goes where its group stands and where its earlier near-duplicates stand; when there are neither, its group's
    hash decides. One that would have to be on two sides goes to none (STRADDLING), nor does one whose cluster of
    near-duplicates has `max_cluster` rows already (CROWDED). `strata` plays no part. pairs: positions of
    near-duplicates, first < second.
    """
    del strata
    dealt = _bands(group, section)
    if not pairs and len(np.unique(group)) == len(group):
        return dealt, np.arange(len(group))
    earlier: dict[int, list[int]] = defaultdict(list)
    for first, second in pairs:
        earlier[second].append(first)
    side, cluster = np.full(len(group), STRADDLING), np.arange(len(group))
    of_group: dict[int, int] = {}
    size: dict[int, int] = defaultdict(int)
    for row, key in enumerate(group.tolist()):
        near = [other for other in earlier.get(row, ()) if side[other] >= 0]
        standing = near if key not in of_group else [of_group[key], *near]
        if len({int(side[other]) for other in standing}) > 1:
            continue
        if near and key not in of_group and size[int(cluster[near[0]])] >= section.max_cluster:
            side[row] = CROWDED
            continue
        side[row] = side[standing[0]] if standing else dealt[row]
        cluster[row] = cluster[standing[0]] if standing else row
        size[int(cluster[row])] += 1
        of_group.setdefault(key, row)
    return side, cluster


def _bands(group: np.ndarray, section: Split) -> np.ndarray:
    """The side that each group's hash gives: test, or validation of the rest; with folds, test is one of them."""
    place = places(group, section.seed, "side")
    test, validation = section.test, section.validation
    within = place < test
    rest = places(group, section.seed, "validation")
    if section.folds:
        within = np.floor(place * section.folds) == section.fold
        test = 1 / section.folds
    return np.where(within, TEST, np.where(rest < validation / (1 - test), VALIDATION, TRAIN))


# --- exact


def exactly(
    group: np.ndarray, strata: np.ndarray, pairs: list[tuple[int, int]], section: Split
) -> tuple[np.ndarray, np.ndarray]:
    """Side and cluster of each row; a side gets its share of all rows, rounded up as scikit-learn does.

    Rows of one group, and near-duplicates up to `max_cluster` rows, are dealt as one; each stratum keeps the shares as
    nearly as whole rows allow (largest remainders first).
    """
    cluster = _joined(group, pairs, section.max_cluster)
    units: dict[int, list[int]] = defaultdict(list)
    for row, unit in enumerate(cluster.tolist()):
        units[unit].append(row)
    order = places(group, section.seed, "side")
    waiting = sorted(units, key=lambda unit: (order[unit], unit))
    side = np.full(len(group), TRAIN)
    if section.folds:
        fold = _folds(waiting, units, strata, section.folds)
        side[[row for unit in waiting if fold[unit] == section.fold for row in units[unit]]] = TEST
        waiting = [unit for unit in waiting if fold[unit] != section.fold]
    else:
        waiting = _deal(side, waiting, units, strata, (TEST, section.test))
    _deal(side, waiting, units, strata, (VALIDATION, section.validation))
    for first, second in pairs:
        if side[first] != side[second] and min(side[first], side[second]) >= 0:
            side[second] = STRADDLING
    return side, cluster


def _joined(group: np.ndarray, pairs: list[tuple[int, int]], most: int) -> np.ndarray:
    """For each row the first of its cluster: its group, joined with near-duplicates up to `most` rows."""
    _, first, back, counts = np.unique(group, return_index=True, return_inverse=True, return_counts=True)
    root, size = first[back], dict(zip(first.tolist(), counts.tolist(), strict=True))
    top = {row: row for row in size}

    def find(row: int) -> int:
        while top[row] != row:
            top[row] = top[top[row]]
            row = top[row]
        return row

    for one, other in pairs:
        low, high = sorted((find(int(root[one])), find(int(root[other]))))
        if low != high and size[low] + size[high] <= most:
            top[high] = low
            size[low] += size[high]
    return np.array([find(int(row)) for row in root], np.int64)


def _deal(
    side: np.ndarray, waiting: list[int], units: dict[int, list[int]], strata: np.ndarray, to: tuple[int, float]
) -> list[int]:
    """Give units to one side until it has its share of all rows; returns the units that are left."""
    label, share = to
    wanted = _quotas(strata, share, [row for unit in waiting for row in units[unit]])
    total = sum(wanted.values())
    left = []
    for unit in waiting:
        rows, stratum = units[unit], strata[unit]
        if len(rows) <= wanted[stratum]:
            wanted[stratum] -= len(rows)
            total -= len(rows)
            side[rows] = label
        else:
            left.append(unit)
    still = []
    for unit in left:  # what large units left open in their own stratum
        if len(units[unit]) <= total and len(units[unit]) > 1:
            total -= len(units[unit])
            side[units[unit]] = label
        else:
            still.append(unit)
    return still


def _quotas(strata: np.ndarray, share: float, left: list[int]) -> dict[int, int]:
    """Rows for one side by stratum: the share of each rounded down, then one more where the remainder is largest.

    left: the rows that are not dealt yet; no stratum is asked for more than it has of them.
    """
    names, counts = np.unique(strata, return_counts=True)
    have = np.bincount(np.searchsorted(names, strata[left]), minlength=len(names))
    exact = counts * share
    quotas = np.minimum(np.floor(exact + 1e-9).astype(int), have)
    missing = min(int(np.ceil(len(strata) * share - 1e-9)), len(left)) - int(quotas.sum())
    while missing > 0:
        order = np.argsort(quotas - exact, kind="stable")
        more = order[quotas[order] < have[order]][:missing]
        quotas[more] += 1
        missing -= len(more)
    return dict(zip(names.tolist(), quotas.tolist(), strict=True))


def _folds(waiting: list[int], units: dict[int, list[int]], strata: np.ndarray, folds: int) -> dict[int, int]:
    """A fold for each unit: the one with the fewest rows of its stratum, then the fewest rows."""
    rows = np.zeros(folds, int)
    of_stratum: dict[int, np.ndarray] = defaultdict(lambda: np.zeros(folds, int))
    fold = {}
    for unit in waiting:
        counts = of_stratum[int(strata[unit])]
        best = int(np.lexsort((rows, counts))[0])
        fold[unit] = best
        counts[best] += len(units[unit])
        rows[best] += len(units[unit])
    return fold


METHODS = {"hash": by_hash, "exact": exactly}
