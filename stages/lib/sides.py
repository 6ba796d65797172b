"""Dealing rows to train, validation and test: by hash of the group, or stratified with exact shares."""

from collections.abc import Iterable, Iterator
from heapq import heapify, heapreplace
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Annotated, Any, Literal, Protocol, Self

import numpy as np
import xxhash
from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator, model_validator
from pydantic_core import PydanticCustomError

from stages.plumbing.section import Names, Section

SIDES = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)
# Of rows that no side may have: their neighbours stand on different sides, or there are too many of them.
STRADDLING, CROWDED = -1, -2

# Rows or pairs that are held as Python's numbers at a time.
AT_A_TIME = 1 << 16

Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


def _in_words(value: Any, legal: ValidatorFunctionWrapHandler) -> Any:
    """The value, checked; pydantic would tell what each member of the union wants as if it were the only one."""
    try:
        return legal(value)
    except ValidationError:
        wanted = "a whole number of rows from 1 on, a share above 0 and up to 1.0, or null"
        raise PydanticCustomError("no_rows", wanted) from None


# A number of rows, or a share of them: 1 is one row, 1.0 all of them.
Some = Annotated[Count | Annotated[float, Field(gt=0, le=1)] | None, WrapValidator(_in_words)]


class Split(Section):
    """The section `split`."""

    seed: int
    method: Literal["hash", "exact"]
    validation: Share
    test: Share
    stratify: str | None
    group: Names | None
    near_duplicates: Annotated[float, Field(gt=0, le=1)] | None
    max_cluster: Count
    shards: Annotated[list[Annotated[int, Field(ge=0, strict=True)]], Field(min_length=1)] | None
    read: Some
    train_rows: Some
    folds: Annotated[int, Field(ge=2)] | None
    fold: Annotated[int, Field(ge=0)]
    evaluate_on: Literal["test", "validation"]
    max_leakage: Annotated[float, Field(ge=0, le=1)]

    @property
    def similarity(self) -> float:
        """From which on two rows are near-duplicates; with near_duplicates: null only rows of the very same words."""
        return self.near_duplicates or 1.0

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.validation + (1 / self.folds if self.folds else self.test) >= 1:
            raise ValueError("shares of validation and test (with folds: 1 / folds) that leave rows to train on")
        if self.folds and self.fold >= self.folds:
            raise ValueError(f"a fold below folds ({self.folds}), not {self.fold}")
        if self.stratify and self.method != "exact":
            raise ValueError("method: exact where stratify names a column (a hash knows no shares)")
        if self.stratify and self.group == [self.stratify]:
            raise ValueError("another field in stratify than in group (rows of one value are on one side then)")
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


def chosen(identity: np.ndarray, most: float | None, seed: int, purpose: str) -> np.ndarray:
    """A mask of at most `most` rows, those whose places come first; equal places (equal rows) in order.

    A share (float) takes those whose place is below it: about as many, and the same ones however many rows join them.
    """
    if isinstance(most, float):
        return places(identity, seed, purpose) < most
    if most is None or most >= len(identity):
        return np.ones(len(identity), bool)
    mask = np.zeros(len(identity), bool)
    mask[np.argsort(places(identity, seed, purpose), kind="stable")[:most]] = True
    return mask


# --- near-duplicates


class Near(Protocol):
    """Some pairs of near-duplicates by position."""

    first: np.ndarray
    second: np.ndarray


# Blocks of pairs, first < second, ascending by second, then first; all pairs of one second are in one block. They are
# gone through more than once.
NearPairs = Iterable[Near]


# --- by hash


def by_hash(group: np.ndarray, strata: np.ndarray, pairs: NearPairs, section: Split) -> tuple[np.ndarray, np.ndarray]:
    """Side and cluster of each row; rows come in the order of row_id, so those added at the end move none before them.

    A row goes where its group stands and where its earlier near-duplicates stand; when there are neither, its group's
    hash decides. One that would have to be on two sides goes to none (STRADDLING), nor does one that would make a
    cluster of near-duplicates of more than `max_cluster` rows (CROWDED). `strata` plays no part.

    With folds that is decided twice, and both times for all folds at once: in which fold a row is tested, and whether
    it trains or validates in the others. So each row is tested once, but for those that no fold has.
    """
    del strata
    place = places(group, section.seed, "side")
    test = 1 / section.folds if section.folds else section.test
    validates = places(group, section.seed, "validation") < section.validation / (1 - test)
    untested = np.where(validates, VALIDATION, TRAIN)
    _, first, number = np.unique(group, return_index=True, return_inverse=True)
    touched = _touched(number, pairs)

    def placed(side: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Side and cluster of each row, from the sides that the hashes of their groups give; negative ones stay."""
        side, cluster = side.copy(), first[number]
        if len(touched):
            _in_order(touched, number, pairs, section, (side, cluster))
        return side, cluster

    if not section.folds:
        side, cluster = placed(np.where(place < test, TEST, untested))
        return side.astype(np.int8), cluster
    fold, cluster = placed(np.floor(place * section.folds).astype(np.int64))
    untested[fold < 0] = fold[fold < 0]
    side, _ = placed(untested)
    return np.where(fold == section.fold, TEST, side).astype(np.int8), cluster


def _touched(number: np.ndarray, pairs: NearPairs) -> np.ndarray:
    """The rows, ascending, of groups with near-duplicates: the others stand where their hash says."""
    touched = np.zeros(number.max(initial=-1) + 1, bool)
    for block in pairs:
        touched[number[block.first]] = touched[number[block.second]] = True
    return np.flatnonzero(touched[number])


def _in_order(
    rows: np.ndarray, number: np.ndarray, pairs: NearPairs, section: Split, into: tuple[np.ndarray, np.ndarray]
) -> None:
    """Put these rows, which ascend, where their group and their earlier near-duplicates stand: side and cluster."""
    top = np.arange(len(number))
    # A view gives Python's numbers one by one, which numpy does slowly.
    side, above = memoryview(into[0]), memoryview(top)
    of_group = memoryview(np.full(number.max() + 1, -1))
    size = memoryview(np.zeros(len(number), np.int64))  # of each cluster, at its top
    waiting = _with_earlier(pairs)
    upcoming, earlier = next(waiting, (-1, []))
    for row, key in _listed(rows, number[rows]):
        near: list[int] = []
        if row == upcoming:
            near = [other for other in earlier if side[other] >= 0]
            upcoming, earlier = next(waiting, (-1, []))
        if side[row] < 0:
            continue
        placed = of_group[key]
        standing = near if placed < 0 else [placed, *near]
        if len({side[other] for other in standing}) > 1:
            side[row] = STRADDLING
            continue
        clusters = {_top(above, other) for other in standing}
        rows_there = sum(size[cluster] for cluster in clusters)
        # A group stays together however large it is; but no row of it joins other clusters to its own beyond measure.
        joins = bool(near) if placed < 0 else len(clusters) > 1
        if joins and rows_there >= section.max_cluster:
            side[row] = CROWDED
            continue
        if standing:
            side[row] = side[standing[0]]
        first = min(clusters, default=row)
        for cluster in (row, *clusters):
            above[cluster] = first
        size[first] = rows_there + 1
        if placed < 0:
            of_group[key] = row
    into[1][rows] = _tops(top, rows)


def _with_earlier(pairs: NearPairs) -> Iterator[tuple[int, list[int]]]:
    """The rows that have near-duplicates before them, in order, each with those."""
    for block in pairs:
        rows, starts = np.unique(block.second, return_index=True)
        bounds = pairwise([*starts.tolist(), len(block.second)])
        for row, (start, end) in zip(rows.tolist(), bounds, strict=True):
            yield row, block.first[start:end].tolist()


def _listed(*columns: np.ndarray) -> Iterator[tuple[int, ...]]:
    """The columns side by side as Python's numbers, of which few are held at a time."""
    for begin in range(0, len(columns[0]), AT_A_TIME):
        yield from zip(*(column[begin : begin + AT_A_TIME].tolist() for column in columns), strict=True)


# --- exact


def exactly(group: np.ndarray, strata: np.ndarray, pairs: NearPairs, section: Split) -> tuple[np.ndarray, np.ndarray]:
    """Side and cluster of each row; a side gets its share of all rows, rounded up as scikit-learn does.

    Rows of one group, and near-duplicates up to `max_cluster` rows, are dealt as one; each stratum keeps the shares as
    nearly as whole rows allow (largest remainders first).
    """
    cluster = _joined(group, pairs, section.max_cluster)
    units = _Units(cluster, strata, places(group, section.seed, "side"))
    if section.folds:
        fold = _folds(units, section.folds)
        units.side[fold == section.fold] = TEST
    else:
        _deal(units, (TEST, section.test))
    _deal(units, (VALIDATION, section.validation))
    side = np.where(units.side == WAITING, TRAIN, units.side)[units.of_row].astype(np.int8)
    _without_straddling(side, pairs)
    return side, cluster


# A unit that no side has yet.
WAITING = 3


class _Units:
    """What is dealt as one: its size, its stratum (of its first row), its side, in the order in which it is dealt."""

    def __init__(self, cluster: np.ndarray, strata: np.ndarray, place: np.ndarray) -> None:
        first, of_row, sizes = np.unique(cluster, return_inverse=True, return_counts=True)
        order = np.lexsort((first, place[first]))
        position = np.empty(len(order), np.int64)
        position[order] = np.arange(len(order))
        self.of_row = position[of_row]
        self.sizes = sizes[order]
        names, number = np.unique(strata, return_inverse=True)
        self.rows_of_stratum = np.bincount(number, minlength=len(names))
        self.stratum = number[first[order]]
        self.row_stratum = number
        self.side = np.full(len(order), WAITING, np.int8)


def _joined(group: np.ndarray, pairs: NearPairs, most: int) -> np.ndarray:
    """For each row the first of its cluster: its group, joined with near-duplicates up to `most` rows."""
    _, first, back, counts = np.unique(group, return_index=True, return_inverse=True, return_counts=True)
    top, sizes = np.arange(len(group)), np.zeros(len(group), np.int64)
    sizes[first] = counts
    root = first[back]
    above, size = memoryview(top), memoryview(sizes)

    for block in pairs:
        one, other = _tops(top, root[block.first]), _tops(top, root[block.second])
        apart = one != other
        for left, right in _listed(one[apart], other[apart]):
            low, high = sorted((_top(above, left), _top(above, right)))
            if low != high and size[low] + size[high] <= most:
                above[high] = low
                size[low] += size[high]
    return _tops(top, root)


def _top(above: memoryview, row: int) -> int:
    """The end of the way up from this row, which is shorter the next time (path halving)."""
    while above[row] != row:
        above[row] = above[above[row]]
        row = above[row]
    return row


def _tops(top: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The end of the way up from each row, which is one step the next time; all the ways double their steps at once."""
    while True:
        above = top[rows]
        higher = top[above]
        if np.array_equal(higher, above):
            return higher
        top[rows] = higher


def _deal(units: _Units, to: tuple[int, float]) -> None:
    """Give waiting units to one side until it has its share of all rows."""
    label, share = to
    wanted = _quotas(units, share)
    total = sum(wanted)
    side = memoryview(units.side)
    large = []
    waiting = np.flatnonzero(units.side == WAITING)
    for unit, rows, stratum in _listed(waiting, units.sizes[waiting], units.stratum[waiting]):
        if rows <= wanted[stratum]:
            wanted[stratum] -= rows
            total -= rows
            side[unit] = label
        elif rows > 1:
            large.append((unit, rows))
    for unit, rows in large:  # what large units left open in their own stratum
        if rows <= total:
            total -= rows
            side[unit] = label


def _quotas(units: _Units, share: float) -> list[int]:
    """Rows for one side by stratum: the share of each rounded down, then one more where the remainder is largest.

    No stratum is asked for more than it has of rows that are not dealt yet.
    """
    counts, rows = units.rows_of_stratum, len(units.of_row)
    waiting = units.side[units.of_row] == WAITING
    have = np.bincount(units.row_stratum[waiting], minlength=len(counts))
    exact = counts * share
    quotas = np.minimum(np.floor(exact + 1e-9).astype(int), have)
    missing = min(int(np.ceil(rows * share - 1e-9)), int(waiting.sum())) - int(quotas.sum())
    while missing > 0:
        order = np.argsort(quotas - exact, kind="stable")
        more = order[quotas[order] < have[order]][:missing]
        quotas[more] += 1
        missing -= len(more)
    return quotas.tolist()


def _folds(units: _Units, folds: int) -> np.ndarray:
    """A fold for each unit: the one with the fewest rows of its stratum, then the fewest rows, then the first.

    One stratum after the other, so that what is left of each goes where the ones before left least.
    """
    fold = np.empty(len(units.sizes), np.int64)
    given = memoryview(fold)
    # Of each fold the rows of this stratum, all of its rows, and its number: a heap, for folds may be many.
    waiting = [(0, 0, number) for number in range(folds)]
    order = np.argsort(units.stratum, kind="stable")
    for _, of_stratum in groupby(_listed(order, units.sizes[order], units.stratum[order]), key=itemgetter(2)):
        waiting = [(0, rows, number) for _, rows, number in waiting]
        heapify(waiting)
        for unit, size, _ in of_stratum:
            there, rows, given[unit] = waiting[0]
            heapreplace(waiting, (there + size, rows + size, given[unit]))
    return fold


def _without_straddling(side: np.ndarray, pairs: NearPairs) -> None:
    """Of two near-duplicates that stand apart, since their cluster was full, leave out the one of the lesser side.

    That is the one that trains, or validates where the other one is tested: so each row is tested in one fold. What is
    tested decides first, so that nothing goes for the sake of a row that goes itself.
    """
    for staying in (TEST, VALIDATION):
        for block in pairs:
            apart = side[block.first] != side[block.second]
            for pair in _listed(block.first[apart], block.second[apart]):
                low, high = sorted(pair, key=lambda row: side[row])
                if side[high] == staying and 0 <= side[low] < staying:
                    side[low] = STRADDLING


METHODS = {"hash": by_hash, "exact": exactly}
