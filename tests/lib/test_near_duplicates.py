"""Near-duplicates are found all of them and nothing else, as comparing every pair would."""

import random
from itertools import combinations

import numpy as np
import polars as pl
import pytest

from stages.lib import near
from stages.lib.near import as_one, joined, near_pairs, triples


def by_hand(texts: list[str], threshold: float) -> dict[tuple[int, int], float]:
    """Jaccard of word triples over every pair, in plain Python."""
    sets = []
    for text in texts:
        words = "".join(c if c.isalnum() or c == "_" else " " for c in text.lower()).split()
        whole = [tuple(words)] if 0 < len(words) < 3 else []
        sets.append({*whole, *(tuple(words[n : n + 3]) for n in range(len(words) - 2))})
    found = {}
    for a, b in combinations(range(len(texts)), 2):
        union = len(sets[a] | sets[b])
        if union and len(sets[a] & sets[b]) / union >= threshold:
            found[a, b] = len(sets[a] & sets[b]) / union
    return found


def pairs_of(texts: list[str], threshold: float) -> dict[tuple[int, int], float]:
    got = near_pairs(triples(pl.Series("text", texts, pl.String)), threshold)
    return {(int(a), int(b)): float(s) for a, b, s in zip(got.first, got.second, got.similarity, strict=True)}


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, 1.0])
def test_the_pairs_are_those_of_comparing_everything(threshold):
    chance = random.Random(7)
    words = [f"p{n}" for n in range(12)]
    texts = [" ".join(chance.choices(words, k=chance.randrange(9))) for _ in range(150)]
    for n in range(50):
        changed = texts[n].split()
        if changed:
            changed[chance.randrange(len(changed))] = "x"
        texts.append(" ".join(changed))
    expected = by_hand(texts, threshold)
    assert len(expected) > 10
    assert pairs_of(texts, threshold) == pytest.approx(expected)


def test_case_and_punctuation_do_not_count_but_accents_do():
    texts = ["O copo azul, de vidro!", "o COPO (azul) de Vidro", "o copo azul de vídro"]
    assert pairs_of(texts, 0.9) == {(0, 1): 1.0}


def test_one_other_word_in_thirty_is_near_and_three_are_not():
    words = [f"palavra{n}" for n in range(30)]
    one = [*words[:15], "outra", *words[16:]]
    three = [*one[:5], "mais", *one[6:25], "ainda", *one[26:]]
    got = pairs_of([" ".join(text) for text in (words, one, three)], 0.7)
    assert got == pytest.approx({(0, 1): 25 / 31})


def test_texts_without_words_are_near_nothing():
    assert pairs_of(["...", "", "!!!", "um"], 0.1) == {}


def test_nothing_is_near_in_an_empty_table():
    assert pairs_of([], 0.8) == {}


def test_a_triple_in_very_many_rows_is_compared_with_the_rows_before_and_the_rest_is_counted(monkeypatch):
    monkeypatch.setattr(near, "WINDOW", 3)
    got = near_pairs(triples(pl.Series("text", ["a mesma frase"] * 10)), 0.8)
    assert (got.compared, got.skipped) == (24, 21)
    assert np.all(got.second - got.first <= 3)


def test_rows_of_the_same_words_are_the_same_pairs_by_one_value_each_and_in_parts():
    texts = ["a b c d", "", "A, b c d", "x", "...", "a b c", "X!", "a b c d."]
    whole = triples(pl.Series("text", texts))
    parts = joined(
        [as_one(triples(pl.Series("text", part, pl.String))) for part in (texts[:2], [], texts[2:5], texts[5:])]
    )
    for found in (whole, as_one(whole), parts):
        got = near_pairs(found, 1.0)
        assert list(zip(got.first.tolist(), got.second.tolist(), strict=True)) == [(0, 2), (0, 7), (2, 7), (3, 6)]
