"""Near-duplicates: pairs of texts whose sets of word triples have a Jaccard similarity of at least a threshold.

The search is exact, not sketched: with the triples of every row in one global order, two rows that are similar enough
share a triple within their first n - ceil(t n) + 1 (prefix filtering: Chaudhuri et al., ICDE 2006; Bayardo et al.,
WWW 2007), and after the first one that they share enough of both must be left (positional filtering: Xiao et al.,
WWW 2008). Rarest first keeps the candidates few; each is verified, so precision is 1, and so is recall unless there are
more than MOST_PAIRS of them: what is not compared then is counted.

What grows with the texts waits on disk (some 1.5 times their size), so that memory grows by eight bytes a row.

Why triples: rows of a catalogue share phrasing and differ in single words. One different word among thirty costs a set
of words a thirtieth, but a set of triples three of them: 0.8 then means texts that differ in one place or two.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from stages.lib.spool import Buckets, Spool
from stages.plumbing import console, processors

TRIPLE = 3
# Scripts that put no space between words: there each character counts as a word.
_SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
WORD = rf"[{_SPACELESS}]|[\w--[{_SPACELESS}]]+"
# Pairs of rows that share an early triple, at most, that are looked at, each once for each such triple. Where there are
# more, for nearly everything resembles hundreds of other rows, each row is compared with the nearest rows before it
# that share the triple, as many as fit: that bounds the time (some minutes) and the disk (a few GB).
MOST_PAIRS = 1 << 28
# Rows whose triples are sorted together: the number of the row takes the upper 13 bits of a key, a triple's hash the
# other 51. Two rows of 60 triples then share one by mistake once in 10^12 pairs.
BLOCK = 1 << 13
_BITS = 51
_PLACE_BITS = 31
_MOST_COUNTED = (1 << (_BITS - _PLACE_BITS)) - 1
# Odd constants of splitmix64 (Steele et al., OOPSLA 2014) and wyhash: they only have to spread words over 64 bits.
_SPREAD = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], np.uint64)

_PARTITIONS = 64
_BUCKETS = 64
_POSTING = np.dtype([("triple", "<i8"), ("row", "<i4"), ("size", "<i4"), ("place", "<i4")])
_PAIR = np.dtype([("first", "<i4"), ("second", "<i4"), ("similarity", "<f8")])
_HELD_PAIRS = 1 << 23
_HELD_TRIPLES = 1 << 23


@dataclass
class Triples:
    """The distinct word triples of each row, ascending: `values[starts[i]:starts[i + 1]]` are those of row i."""

    values: np.ndarray
    starts: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        return np.diff(self.starts)


@dataclass
class Block:
    """Verified pairs by position (first < second) with their similarity, ascending by second, then first."""

    first: np.ndarray
    second: np.ndarray
    similarity: np.ndarray


class Pairs:
    """All verified pairs, on disk; how many were compared, and how many were not, since they share only common triples.

    Iterating gives blocks in the order of `second`; all pairs of one `second` are in one block.
    """

    def __init__(self, place: Path) -> None:
        self.compared = self.skipped = 0
        self._spool = Spool(place, _PAIR)
        self._ends: list[int] = []

    def __len__(self) -> int:
        return len(self._spool)

    def __iter__(self) -> Iterator[Block]:
        begin = 0
        for end in self._ends:
            found = self._spool.between(begin, end)
            yield Block(found["first"], found["second"], found["similarity"])
            begin = end

    def add(self, parts: Iterable[Block]) -> None:
        """Append all pairs of some rows, which come after all before."""
        for part in parts:
            records = np.empty(len(part.first), _PAIR)
            for name in _PAIR.names:
                records[name] = getattr(part, name)
            self._spool.add(records)
        if len(self._spool) > (self._ends[-1] if self._ends else 0):
            self._ends.append(len(self._spool))


# --- triples


def triples(texts: pl.Series) -> Triples:
    """Hashes of the word triples of each text, small letters, punctuation ignored; a shorter text is one triple.

    Where a script puts no spaces between words, each character is a word.

    texts: at most BLOCK of them.
    """
    words = texts.str.to_lowercase().str.extract_all(WORD)
    counts = words.list.len().to_numpy().astype(np.int64)
    hashes = words.explode(empty_as_null=False).hash(seed=0).to_numpy()
    ends = np.cumsum(counts)
    mixed, whole = hashes * _SPREAD[0], np.ones(len(hashes), bool)
    for ahead in range(1, TRIPLE):
        mixed[:-ahead] += hashes[ahead:] * _SPREAD[ahead]
        whole[ends[counts >= ahead] - ahead] = False
    begins = ends - counts
    for length in range(1, TRIPLE):  # texts too short for a triple: all their words are one
        short = begins[counts == length]
        mixed[short] = sum(hashes[short + ahead] * _SPREAD[ahead] for ahead in range(length))
        whole[short] = True
    keys = mixed[whole] >> np.uint64(64 - _BITS)
    keys |= np.repeat(np.arange(len(counts), dtype=np.uint64) << np.uint64(_BITS), counts)[whole]
    keys.sort()
    new = np.ones(len(keys), bool)
    np.not_equal(keys[1:], keys[:-1], out=new[1:])
    keys = keys[new]
    starts = np.searchsorted(keys >> np.uint64(_BITS), np.arange(len(counts) + 1, dtype=np.uint64))
    return Triples((keys & np.uint64((1 << _BITS) - 1)).astype(np.int64), starts)


def as_one(found: Triples) -> Triples:
    """One value for each row that has triples, the same for the same set: all that a similarity of 1 has to know."""
    full = found.sizes > 0
    mixed = found.values.astype(np.uint64) * _SPREAD[1]
    mixed = (mixed ^ (mixed >> np.uint64(31))) * _SPREAD[2]
    totals = np.add.reduceat(mixed, found.starts[:-1][full]) if full.any() else mixed
    return Triples((totals >> np.uint64(1)).astype(np.int64), np.concatenate([[0], np.cumsum(full)]))


class _Table:
    """The triples of all rows on disk, and how often each is met, roughly: in as many counters as suit the rows."""

    def __init__(self, place: Path, rows: int) -> None:
        self.values = Spool(place, np.int64)
        self.starts = np.zeros(rows + 1, np.int64)
        self.rows = 0
        self._counters = np.zeros(1 << min(25, max(12, (16 * rows).bit_length())), np.uint32)

    def add(self, found: Triples) -> None:
        """Append rows."""
        rows = len(found.sizes)
        self.starts[self.rows + 1 : self.rows + 1 + rows] = found.starts[1:] + len(self.values)
        self.rows += rows
        self.values.add(found.values)
        met, times = np.unique(self._counter(found.values), return_counts=True)
        self._counters[met] += times.astype(np.uint32)

    def _counter(self, values: np.ndarray) -> np.ndarray:
        return (values // _PARTITIONS) & (len(self._counters) - 1)

    def met(self, values: np.ndarray) -> np.ndarray:
        """How often each was met, or more often: the order by it is the same for every row, which is all it has to."""
        return self._counters[self._counter(values)]

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """The number of triples of these rows."""
        return self.starts[rows + 1] - self.starts[rows]

    def blocks(self) -> Iterator[tuple[int, Triples]]:
        """All rows in order, at most BLOCK at a time, with the number of the first."""
        begin = 0
        while begin < self.rows:
            fit = int(np.searchsorted(self.starts, self.starts[begin] + _HELD_TRIPLES, side="right")) - 1
            end = min(max(fit, begin + 1), begin + BLOCK, self.rows)
            starts = self.starts[begin : end + 1]
            yield begin, Triples(self.values.between(int(starts[0]), int(starts[-1])), starts - starts[0])
            begin = end

    def of(self, rows: np.ndarray) -> Triples:
        """The triples of some rows, which ascend."""
        begins, ends = self.starts[rows], self.starts[rows + 1]
        return Triples(self.values.gathered(begins, ends), np.concatenate([[0], np.cumsum(ends - begins)]))


# --- the search


def whole_texts(rows: pl.DataFrame) -> Iterator[pl.Series]:
    """Of each row all that the model reads and writes, the inputs and the response, as one text; in parts for a search.

    rows: these fields alone.
    """
    text = rows.select(pl.concat_str(pl.all(), separator="\n").alias("text"))["text"]
    for at in range(0, len(text), BLOCK):
        yield text.slice(at, BLOCK)


def near_pairs(texts: Iterable[pl.Series], rows: int, threshold: float, place: Path) -> Pairs:
    """All pairs of rows whose triples have a Jaccard similarity of at least `threshold` (above 0, at most 1).

    texts: in parts of at most BLOCK, `rows` in all. place: a folder on the disk that holds what does not fit in memory.
    """
    table = _Table(place, rows)
    at_once = processors.available()
    with ThreadPoolExecutor(at_once) as pool, console.bar("read words", rows) as progress:
        for found in processors.in_order(pool, at_once, lambda part: _compared(part, threshold), texts):
            table.add(found)
            progress.update(len(found.sizes))
    pairs = Pairs(place)
    shift = _finer(max(rows - 1, 0).bit_length())
    candidates = Buckets(place, np.int64, _BUCKETS)
    pairs.skipped = _shared(_prefixes(table, threshold, place), threshold, candidates, shift)
    with console.bar("compare", sum(map(len, candidates.spools)), "pairs") as progress:
        for spool in candidates.spools:
            progress.update(len(spool))
            for distinct in _distinct(spool, shift, place):
                pairs.compared += len(distinct)
                pairs.add(_verified(distinct, table, threshold))
    table.values.close()
    return pairs


def _compared(texts: pl.Series, threshold: float) -> Triples:
    """What of each text is compared: its triples, or where only equal ones are wanted all of them as one."""
    found = triples(texts)
    return as_one(found) if threshold == 1 else found


def _prefixes(table: _Table, threshold: float, place: Path) -> list[Spool]:
    """The first triples of each row, rarest first, by triple: each partition holds all rows of its triples, in order.

    A triple that was met once is shared by nobody; it keeps its place and is left out.
    """
    postings = Buckets(place, _POSTING, _PARTITIONS)
    for begin, found in table.blocks():
        met, sizes = table.met(found.values), found.sizes
        row = np.repeat(np.arange(len(sizes)), sizes)
        # One number sorts by row, then rarity, then value, since the place in the block ascends with the value.
        keys = row.astype(np.uint64) << np.uint64(_BITS)
        keys |= np.minimum(met, _MOST_COUNTED).astype(np.uint64) << np.uint64(_PLACE_BITS)
        keys |= np.arange(len(keys), dtype=np.uint64)
        keys.sort()
        order = (keys & np.uint64((1 << _PLACE_BITS) - 1)).astype(np.int64)
        place_in_row = np.arange(len(order)) - np.repeat(found.starts[:-1], sizes)
        length = sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1
        early = (place_in_row < length[row]) & (met[order] > 1)
        records = np.empty(int(early.sum()), _POSTING)
        records["triple"], records["row"] = found.values[order[early]], begin + row[early]
        records["size"], records["place"] = sizes[row[early]], place_in_row[early]
        postings.add(records["triple"] % _PARTITIONS, records)
    return postings.spools


def _shared(postings: list[Spool], threshold: float, candidates: Buckets, shift: int) -> int:
    """Enter the pairs (second << 32 | first) that share a triple and may be near; returns how many were skipped."""
    lengths = np.zeros(0, np.int64)
    for spool in postings:
        _, counts = np.unique(spool.between(0, len(spool))["triple"], return_counts=True)
        of_part = np.bincount(counts)
        lengths = _added(lengths, of_part)
    window, skipped = _window(lengths)
    with console.bar("look for pairs", len(postings), "parts") as progress:
        for spool in postings:
            for found in _sharing(spool.between(0, len(spool)), window, threshold):
                candidates.add(_bucket(found, shift), found)
            spool.close()
            progress.update()
    return skipped


def _added(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    longer, shorter = (one, other) if len(one) > len(other) else (other, one)
    longer[: len(shorter)] += shorter
    return longer


def _window(lengths: np.ndarray) -> tuple[int, int]:
    """The rows to look back at, and the pairs that are skipped so; lengths[n]: triples that n rows share.

    The window is all of them, halved until the pairs fit.
    """
    n = np.arange(len(lengths))
    total = int((lengths * (n * (n - 1) // 2)).sum())
    window = max(1, len(lengths) - 2)
    while True:
        beyond = np.maximum(n - 1 - window, 0)
        skipped = int((lengths * (beyond * (beyond + 1) // 2)).sum())
        if window == 1 or total - skipped <= MOST_PAIRS:
            return window, skipped
        window //= 2


def _sharing(postings: np.ndarray, window: int, threshold: float) -> Iterator[np.ndarray]:
    """Pairs that share a triple and that sizes and places allow to be near; one comes once for each such triple."""
    order = np.argsort(postings["triple"], kind="stable")
    triple, row, size, place = (postings[name][order] for name in _POSTING.names)
    rest = size - place - 1
    needed = threshold / (1 + threshold)
    left = np.arange(len(triple))
    held, parts = 0, []
    for ahead in range(1, window + 1):
        left = left[left + ahead < len(triple)]
        left = left[triple[left] == triple[left + ahead]]
        if not len(left):
            break
        for some in np.array_split(left, -(-len(left) // _HELD_PAIRS)):
            other = some + ahead
            one_size, other_size = size[some], size[other]
            overlap = 1 + np.minimum(rest[some], rest[other])
            fits = overlap >= needed * (one_size + other_size) - 1e-9
            fits &= np.minimum(one_size, other_size) >= threshold * np.maximum(one_size, other_size) - 1e-9
            parts.append(row[other[fits]].astype(np.int64) << 32 | row[some[fits]])
            held += len(parts[-1])
            if held > _HELD_PAIRS:
                yield np.concatenate(parts)
                held, parts = 0, []
    if parts:
        yield np.concatenate(parts)


def _finer(shift: int) -> int:
    """The bits of a row's number that are left when buckets have taken the upper ones."""
    return max(0, shift - (_BUCKETS - 1).bit_length())


def _bucket(pairs: np.ndarray, shift: int) -> np.ndarray:
    """The bucket of each pair, by its second row: `shift` is how many of the lower bits stay together."""
    return (pairs >> (32 + shift)) % _BUCKETS


def _distinct(spool: Spool, shift: int, place: Path) -> Iterator[np.ndarray]:
    """The pairs of one bucket, each once, ascending; of a bucket that is too large in parts. Closes the spool."""
    if len(spool) > _HELD_PAIRS and shift:
        parts = Buckets(place, np.int64, _BUCKETS)
        for some in spool.parts(_HELD_PAIRS):
            parts.add(_bucket(some, _finer(shift)), some)
        spool.close()
        for part in parts.spools:
            yield from _distinct(part, _finer(shift), place)
    elif len(spool):
        pairs = np.sort(spool.between(0, len(spool)))
        spool.close()
        new = np.ones(len(pairs), bool)
        np.not_equal(pairs[1:], pairs[:-1], out=new[1:])
        yield pairs[new]


def _verified(candidates: np.ndarray, table: _Table, threshold: float) -> Iterator[Block]:
    """Of the candidate pairs those that are similar enough, with their exact similarity."""
    first, second = candidates & 0xFFFFFFFF, candidates >> 32
    held = np.cumsum(table.sizes(first) + table.sizes(second))
    steps = np.arange(0, (held[-1] if len(held) else 0) + _HELD_TRIPLES, _HELD_TRIPLES)
    bounds = np.searchsorted(held, steps, side="right")
    for begin, end in pairwise(bounds):
        if begin < end:
            yield _near(first[begin:end], second[begin:end], table, threshold)


def _near(first: np.ndarray, second: np.ndarray, table: _Table, threshold: float) -> Block:
    from scipy.sparse import csr_array

    rows, back = np.unique(np.concatenate([first, second]), return_inverse=True)
    found = table.of(rows)
    shape = (len(rows), np.iinfo(np.int64).max)
    # Only the places of the ones count: their products are where both rows have a triple.
    ones = csr_array((np.ones(len(found.values), np.int8), found.values, found.starts), shape=shape)
    shared = np.diff(ones[back[: len(first)]].multiply(ones[back[len(first) :]]).indptr)
    total = table.sizes(first) + table.sizes(second) - shared
    similarity = shared / np.maximum(total, 1)
    near = similarity >= threshold - 1e-9
    return Block(first[near], second[near], similarity[near])
