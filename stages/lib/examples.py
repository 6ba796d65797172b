"""Which rows the report shows, and where their words differ from the reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

import numpy as np

from stages.lib.answers import plain
from stages.lib.words import words

Kind = Literal["best", "worst", "improved", "worsened", "unchanged", "random"]
KINDS: tuple[Kind, ...] = ("best", "worst", "improved", "worsened", "unchanged", "random")


@dataclass(frozen=True)
class Piece:
    """A run of words, and whether the other text lacks them."""

    text: str
    differs: bool


def choose(
    row_ids: Sequence[int],
    before: Sequence[str],
    after: Sequence[str],
    scores: tuple[np.ndarray, np.ndarray],
    most: int,
) -> dict[int, list[Kind]]:
    """The places of the rows to show, with what each stands for: up to `most` per kind, in the order of KINDS.

    `scores` are ROUGE-L of the baseline's and the tuned model's answers, row by row; equals are ordered by row_id, and
    random rows are those with the lowest hash of their row_id.
    """
    import xxhash

    gain = scores[1] - scores[0]
    places = range(len(row_ids))
    same = [place for place in places if plain(before[place]) == plain(after[place])]
    found: dict[Kind, list[int]] = {
        "best": sorted(places, key=lambda place: -scores[1][place]),
        "worst": sorted(places, key=lambda place: scores[1][place]),
        "improved": sorted((place for place in places if gain[place] > 0), key=lambda place: -gain[place]),
        "worsened": sorted((place for place in places if gain[place] < 0), key=lambda place: gain[place]),
        "unchanged": same,
        "random": sorted(places, key=lambda place: xxhash.xxh3_64_intdigest(f"example {row_ids[place]}".encode())),
    }
    kinds: dict[int, list[Kind]] = {}
    for kind in KINDS:
        for place in found[kind][:most]:
            kinds.setdefault(place, []).append(kind)
    return kinds


def marked(text: str, other: str) -> list[Piece]:
    """`text` in pieces: those that `other` has too, in the same order, and those that it lacks.

    Words are compared without case and punctuation; white space is kept as one space.
    """
    mine, theirs = text.split(), other.split()
    keys = [[" ".join(words(word)) or word for word in side] for side in (mine, theirs)]
    pieces: list[Piece] = []
    for tag, start, end, _, _ in SequenceMatcher(None, *keys, autojunk=False).get_opcodes():
        if end > start:
            pieces.append(Piece(" ".join(mine[start:end]), tag != "equal"))
    return pieces
