"""Near-duplicates side by side: how many of the true pairs are found, and what it costs, ours against datasketch.

    pip install datasketch==2.0.0
    python bench/near_duplicates.py [--exact ROWS] [--rows ROWS] [--threshold T] [--data FOLDER]

First every pair of some rows (5,000) is compared, by a product of sparse matrices of word triples: precision and recall
of both against that. Then more rows (150,000), each side as a process of its own, on the same texts: seconds, peak
memory, pairs. The rows are those of `bench/clean.py`: real products inflated by a seeded generator.

- afina: `stages.lib.near`: prefix filtering, exact.
- datasketch: MinHash of 128 permutations (xxh32), MinHashLSH, each candidate verified on the sets of triples, as afina
  does, so that both give true pairs only. The library's own weights of false positives and negatives (0.5, 0.5).
- datasketch-recall: the same with weights (0.1, 0.9), which asks it to miss less.
"""

import argparse
import json
import re
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from clean import inflate
from processes import ROOT, measured

DATA = ROOT / "../shared/data"
WORD = re.compile(r"\w+")
PERMUTATIONS = 128


def texts_in(path: Path) -> list[str]:
    """Title and content of each row as one text."""
    with path.open(encoding="utf-8") as file:
        rows = map(json.loads, file)
        return [f"{row['title']}\n{row['content']}" for row in rows]


def triples_of(text: str) -> set[str]:
    """The distinct word triples of a text; a shorter one is one triple."""
    words = WORD.findall(text.lower())
    whole = [" ".join(words)] if 0 < len(words) < 3 else []
    return {*whole, *(" ".join(words[n : n + 3]) for n in range(len(words) - 2))}


def everything(texts: list[str], threshold: float) -> np.ndarray:
    """All pairs (first, second) that are similar enough, by comparing all rows that share a triple at all."""
    from scipy.sparse import csr_array, triu

    number: dict[str, int] = {}
    rows = [[number.setdefault(triple, len(number)) for triple in triples_of(text)] for text in texts]
    sizes = np.array(list(map(len, rows)))
    ends = np.concatenate([[0], np.cumsum(sizes)])
    columns = np.array([column for row in rows for column in row])
    table = csr_array((np.ones(len(columns), np.int32), columns, ends), shape=(len(rows), len(number)))
    shared = triu(table @ table.T, k=1).tocoo()
    first, second = shared.coords
    near = shared.data / (sizes[first] + sizes[second] - shared.data) >= threshold - 1e-9
    return np.unique(np.stack([first[near], second[near]], axis=1).astype(np.int64), axis=0)


def by_afina(texts: list[str], threshold: float) -> np.ndarray:
    """The pairs that the split stage keeps on one side."""
    import polars as pl

    from stages.lib.near import BLOCK, near_pairs

    blocks = (pl.Series(texts[begin : begin + BLOCK]) for begin in range(0, len(texts), BLOCK))
    with tempfile.TemporaryDirectory() as place:
        found = near_pairs(blocks, len(texts), threshold, Path(place))
        if found.skipped:
            sys.exit(f"{found.skipped} pairs were not compared: not the same work")
        return np.concatenate([np.stack([part.first, part.second], axis=1) for part in found])


def by_datasketch(texts: list[str], threshold: float, weights: tuple[float, float] = (0.5, 0.5)) -> np.ndarray:
    """The pairs that MinHashLSH proposes and that are similar enough."""
    from datasketch import MinHash, MinHashLSH
    from xxhash import xxh32_intdigest

    sets = [triples_of(text) for text in texts]
    words = ([triple.encode() for triple in row] for row in sets)
    sketches = MinHash.generator(words, num_perm=PERMUTATIONS, hashfunc=xxh32_intdigest)
    index = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS, weights=weights)
    pairs = []
    for row, sketch in enumerate(sketches):
        own = sets[row]
        for other in index.query(sketch):
            shared = len(own & sets[other])
            if shared and shared / (len(own) + len(sets[other]) - shared) >= threshold - 1e-9:
                pairs.append((other, row))
        index.insert(row, sketch)
    return np.array(pairs, np.int64).reshape(-1, 2)


SIDES = {
    "afina": by_afina,
    "datasketch": by_datasketch,
    "datasketch-recall": partial(by_datasketch, weights=(0.1, 0.9)),
}


def compared(asked: argparse.Namespace, rows: int, *, truth: bool) -> None:
    """Run both sides on this many rows and print a table; `truth` compares every pair, too."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "rows.jsonl"
        inflate(source, rows, asked.data)
        took, found = {}, {}
        for side in SIDES:
            command = [sys.executable, __file__, "--threshold", str(asked.threshold)]
            took[side] = measured([*command, "--side", side, str(source), str(folder / side)], folder / "log")
            found[side] = {tuple(pair) for pair in np.load(folder / f"{side}.npy").tolist()}
        true = {tuple(pair) for pair in everything(texts_in(source), asked.threshold).tolist()} if truth else None
    judged = "every pair compared" if truth else "afina's pairs"
    print(f"\n{rows:,} rows, threshold {asked.threshold}; recall against {judged}\n")
    print("| side | wall s | processor s | peak MiB | pairs | precision | recall |\n|---|---|---|---|---|---|---|")
    true = found["afina"] if true is None else true
    for side, used in took.items():
        right = len(found[side] & true)
        print(
            f"| {side} | {used.wall:,.1f} | {used.processor:,.1f} | {used.memory:,.0f} | {len(found[side]):,} "
            f"| {right / max(len(found[side]), 1):.4f} | {right / max(len(true), 1):.4f} |",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exact", type=int, default=5_000)
    parser.add_argument("--rows", type=int, default=150_000)
    parser.add_argument("--threshold", type=float, default=0.8)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--side", nargs=3, metavar=("SIDE", "ROWS", "PAIRS"), help="run one side alone")
    asked = parser.parse_args()
    asked.data = asked.data.resolve()
    if asked.side:
        side, source, target = asked.side
        np.save(target, SIDES[side](texts_in(Path(source)), asked.threshold))
    else:
        compared(asked, asked.exact, truth=True)
        compared(asked, asked.rows, truth=False)
