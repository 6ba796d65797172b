"""Near-duplicates: pairs of texts whose sets of word triples have a Jaccard similarity of at least a threshold.

The search is exact, not sketched: with the triples of every row in one global order, two rows that are similar enough
share a triple within their first n - ceil(t n) + 1 (prefix filtering: Chaudhuri et al., ICDE 2006; Bayardo et al.,
WWW 2007). Rarest first keeps the candidates few; each is verified, so precision is 1, and so is recall unless a triple
is in more than WINDOW prefixes: then each row is compared with the WINDOW rows before it, other pairs are counted.

Why triples: rows of a catalogue share phrasing and differ in single words. One different word among thirty costs a set
of words a thirtieth, but a set of triples three of them: 0.8 then means texts that differ in one place or two.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

TRIPLE = 3
WINDOW = 200
# Odd constants of splitmix64 (Steele et al., OOPSLA 2014) and wyhash: they only have to spread words over 64 bits.
_SPREAD = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], np.uint64)
_VERIFIED_AT_ONCE = 200_000
_HELD_PAIRS = 20_000_000


@dataclass
class Pairs:
    """Verified pairs by position (first < second), their similarity; how many were compared, how many were not."""

    first: np.ndarray
    second: np.ndarray
    similarity: np.ndarray
    compared: int
    skipped: int


@dataclass
class Triples:
    """The distinct word triples of each row: `values[starts[i]:starts[i + 1]]` are those of row i."""

    values: np.ndarray
    starts: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        return np.diff(self.starts)


def triples(texts: pl.Series) -> Triples:
    """Hashes of the word triples of each text, small letters, punctuation ignored; a shorter text is one triple."""
    words = texts.str.to_lowercase().str.extract_all(r"\w+")
    counts = words.list.len().to_numpy().astype(np.int64)
    hashes = words.explode(empty_as_null=False).hash(seed=0).to_numpy()
    ends = np.cumsum(counts)
    row = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(hashes))
    mixed = np.zeros(len(hashes), np.uint64)
    for ahead in range(TRIPLE):
        inside = place + ahead < ends[row]
        mixed[inside] += hashes[place[inside] + ahead] * _SPREAD[ahead]
    begins = (place + TRIPLE <= ends[row]) | ((counts[row] < TRIPLE) & (place == (ends - counts)[row]))
    row, mixed = row[begins], mixed[begins]
    order = np.lexsort((mixed, row))
    row, mixed = row[order], mixed[order]
    new = np.ones(len(row), bool)
    new[1:] = (row[1:] != row[:-1]) | (mixed[1:] != mixed[:-1])
    starts = np.searchsorted(row[new], np.arange(len(counts) + 1))
    return Triples(mixed[new], starts)


def as_one(found: Triples) -> Triples:
    """One value for each row that has triples, the same for the same set: all that a similarity of 1 has to know."""
    full = found.sizes > 0
    totals = np.add.reduceat(found.values, found.starts[:-1][full]) if full.any() else found.values
    return Triples(totals, np.concatenate([[0], np.cumsum(full)]))


def joined(parts: list[Triples]) -> Triples:
    """The rows of all parts, one after the other."""
    sizes = np.concatenate([np.empty(0, np.int64), *(part.sizes for part in parts)])
    values = np.concatenate([np.empty(0, np.uint64), *(part.values for part in parts)])
    return Triples(values, np.concatenate([[0], np.cumsum(sizes)]))


def near_pairs(found: Triples, threshold: float) -> Pairs:
    """All pairs of rows whose triples have a Jaccard similarity of at least `threshold` (above 0, at most 1)."""
    tokens, sizes = _rarest_first(found), found.sizes
    row = np.repeat(np.arange(len(sizes)), sizes)
    place = np.arange(len(tokens)) - np.repeat(found.starts[:-1], sizes)
    prefix = sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1
    early = place < prefix[row]
    candidates, skipped = _sharing(tokens[early], row[early], sizes, threshold)
    parts = [
        _verified(part, tokens, found.starts, threshold)
        for part in np.array_split(candidates, max(1, -(-len(candidates) // _VERIFIED_AT_ONCE)))
    ]
    first, second, similarity = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Pairs(first, second, similarity, len(candidates), skipped)


def _rarest_first(found: Triples) -> np.ndarray:
    """The triples as ranks, the rarest lowest, ascending within each row."""
    _, rank, counts = np.unique(found.values, return_inverse=True, return_counts=True)
    order = np.argsort(counts, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    tokens = place[rank]
    row = np.repeat(np.arange(len(found.sizes)), found.sizes)
    return tokens[np.lexsort((tokens, row))]


def _sharing(tokens: np.ndarray, row: np.ndarray, sizes: np.ndarray, threshold: float) -> tuple[np.ndarray, int]:
    """Pairs (first * rows + second) that share a token and whose sizes allow the threshold; how many were skipped."""
    order = np.lexsort((row, tokens))
    tokens, row = tokens[order], row[order]
    _, counts = np.unique(tokens, return_counts=True)
    beyond = np.maximum(counts - 1 - WINDOW, 0)
    skipped = int((beyond * (beyond + 1) // 2).sum())
    rows = len(sizes)
    parts = [np.empty(0, np.int64)]
    left = np.arange(len(tokens))
    for ahead in range(1, WINDOW + 1):
        left = left[left + ahead < len(tokens)]
        left = left[tokens[left] == tokens[left + ahead]]
        if not len(left):
            break
        first, second = row[left], row[left + ahead]
        small, large = np.minimum(sizes[first], sizes[second]), np.maximum(sizes[first], sizes[second])
        fits = small >= threshold * large - 1e-9
        parts.append(first[fits] * rows + second[fits])
        if sum(map(len, parts)) > 2 * len(parts[0]) + _HELD_PAIRS:  # the same pair comes once for each shared triple
            parts = [np.unique(np.concatenate(parts))]
    return np.unique(np.concatenate(parts)), skipped


def _verified(
    pairs: np.ndarray, tokens: np.ndarray, starts: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the candidate pairs those that are similar enough, with their exact similarity."""
    from scipy.sparse import csr_array

    rows = len(starts) - 1
    first, second = np.divmod(pairs, rows)
    width = int(tokens.max()) + 1 if len(tokens) else 1
    table = csr_array((np.ones(len(tokens), np.int32), tokens, starts), shape=(rows, width))
    shared = np.asarray(table[first].multiply(table[second]).sum(axis=1)).ravel() if len(pairs) else np.empty(0)
    sizes = np.diff(starts)
    similarity = shared / np.maximum(sizes[first] + sizes[second] - shared, 1)
    near = similarity >= threshold - 1e-9
    return first[near], second[near], similarity[near]
