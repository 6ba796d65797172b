"""Near-duplicates are found all of them and nothing else, as comparing every pair would."""

import random
import tempfile
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.lib import near, spool
from stages.lib.certificate import leakage
from stages.lib.near import as_one, near_pairs, triples
from stages.lib.spool import Buckets, Spool


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


def searched(texts: list[str], threshold: float, part: int = 1000) -> near.Pairs:
    series = pl.Series("text", texts, pl.String)
    parts = [series.slice(begin, part) for begin in range(0, len(texts), part)]
    return near_pairs(parts, len(texts), threshold, Path(tempfile.gettempdir()))


def pairs_of(texts: list[str], threshold: float, part: int = 1000) -> dict[tuple[int, int], float]:
    got = searched(texts, threshold, part)
    listed = [
        pair for b in got for pair in zip(b.first.tolist(), b.second.tolist(), b.similarity.tolist(), strict=True)
    ]
    assert len(listed) == len(got)
    assert [pair[:2] for pair in listed] == sorted((pair[:2] for pair in listed), key=lambda pair: pair[::-1])
    return {(first, second): similarity for first, second, similarity in listed}


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


@pytest.mark.parametrize(
    "alphabet",
    ["水火木金土日月山川田人口手足目耳雨风石竹", "กขคงจฉชซญฎฏฐณดตถทธนบ", "あいうえおかきくけこさしすせそたちつて"],
)
def test_where_no_spaces_part_the_words_a_character_is_one(alphabet):
    chance = random.Random(3)
    text = "".join(chance.choices(alphabet, k=60))
    other = "x".join((text[:30], text[31:]))
    # Of 58 triples three are others; where the x stands, a word of Latin letters ends and begins.
    assert pairs_of([text, other, f"{text[:30]}, {text[30:]}"], 0.8) == {
        (0, 1): pytest.approx(55 / 61, abs=0.04),
        (0, 2): 1.0,
        (1, 2): pytest.approx(55 / 61, abs=0.04),
    }
    assert pairs_of([text, text[::-1]], 0.3) == {}


def test_texts_without_words_are_near_nothing():
    assert pairs_of(["...", "", "!!!", "um"], 0.1) == {}


def test_nothing_is_near_in_an_empty_table():
    assert pairs_of([], 0.8) == {}


WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "É", "é", "1"]), max_size=7).map(" ".join)


@given(st.lists(WORDS, max_size=25), st.sampled_from([0.1, 0.5, 0.75, 0.8, 1.0]), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_whatever_the_texts_and_however_they_are_cut_the_pairs_are_those_of_comparing_everything(texts, least, part):
    assert pairs_of(texts, least, part) == pytest.approx(by_hand(texts, least))


def test_full_blocks_lose_no_row():
    texts = [f"o copo número {n} azul" for n in range(2 * near.BLOCK)]
    texts[near.BLOCK - 1] = texts[-1]
    assert pairs_of(texts, 0.9, near.BLOCK) == {(near.BLOCK - 1, 2 * near.BLOCK - 1): 1.0}


def test_what_is_held_at_a_time_changes_nothing(monkeypatch):
    chance = random.Random(3)
    texts = [" ".join(chance.choices("abcdef", k=chance.randrange(7))) for _ in range(300)]
    expected = searched(texts, 0.6)
    for module, name, value in (
        (near, "_HELD_PAIRS", 5),
        (near, "_HELD_TRIPLES", 50),
        (near, "_PARTITIONS", 3),
        (near, "_BUCKETS", 4),
        (spool, "WINDOW_BYTES", 64),
        (near, "BLOCK", 64),
    ):
        monkeypatch.setattr(module, name, value)
    got = searched(texts, 0.6, 64)
    assert len(expected) > 200
    assert (len(got), got.skipped) == (len(expected), 0)
    assert pairs_of(texts, 0.6, 64) == by_hand(texts, 0.6)


@pytest.mark.parametrize(
    ("rows", "most", "window", "compared"),
    # Windows are tried from all rows on, halved each time: 9, 4 of 10 rows; 59, 29, 14, 7, 3 of 60.
    [(10, 45, 9, 45), (10, 44, 4, 30), (60, 300, 3, 174)],
)
def test_of_too_many_pairs_each_row_is_compared_with_those_before_it_and_the_rest_is_counted(
    rows, most, window, compared, monkeypatch
):
    monkeypatch.setattr(near, "MOST_PAIRS", most)
    got = searched(["a mesma frase"] * rows, 0.8)
    assert (got.compared, got.skipped) == (compared, rows * (rows - 1) // 2 - compared)
    assert max(int((block.second - block.first).max()) for block in got) == window


def test_rows_of_the_same_words_are_the_same_pairs_by_one_value_each_and_in_parts():
    texts = ["a b c d", "", "A, b c d", "x", "...", "a b c", "X!", "a b c d."]
    one = as_one(triples(pl.Series("text", texts)))
    assert one.sizes.tolist() == [1, 0, 1, 1, 0, 1, 1, 1]
    for part in (1, 2, 8):
        assert pairs_of(texts, 1.0, part) == {(0, 2): 1.0, (0, 7): 1.0, (2, 7): 1.0, (3, 6): 1.0}


def test_nothing_stays_on_disk_when_the_search_is_over_or_killed(tmp_path):
    pairs = near_pairs([pl.Series("text", ["a b c", "a b c"])], 2, 0.8, tmp_path)
    assert len(pairs) == 1
    assert list(tmp_path.iterdir()) == []  # also while it is in use, since its files have no names


@given(st.lists(st.integers(0, 6), max_size=40), st.integers(1, 5), st.data())
@settings(max_examples=100, deadline=None)
def test_rows_gathered_from_disk_are_those_that_were_put_there(sizes, window, data):
    rows = [list(range(100 * n, 100 * n + size)) for n, size in enumerate(sizes)]
    ends = np.cumsum(sizes, dtype=np.int64)
    chosen = np.array(data.draw(st.sets(st.integers(0, len(sizes) - 1)) if sizes else st.just(set())), object)
    at = np.array(sorted(chosen.item()), np.int64)
    held = Spool(Path(tempfile.gettempdir()), np.int64)
    for row in rows:
        held.add(np.array(row, np.int64))
    before, spool.WINDOW_BYTES = spool.WINDOW_BYTES, 8 * window
    try:
        got = held.gathered((ends - sizes)[at] if sizes else at, ends[at] if sizes else at)
    finally:
        spool.WINDOW_BYTES = before
    assert got.tolist() == [value for row in at for value in rows[row]]
    together = [value for row in rows for value in row]
    assert [part.tolist() for part in held.parts(7)] == [
        together[begin : begin + 7] for begin in range(0, len(together), 7)
    ]


def test_a_bucket_keeps_the_order_in_which_its_records_came(tmp_path):
    buckets = Buckets(tmp_path, np.int64, 3)
    buckets.add(np.array([2, 0, 2]), np.array([5, 6, 4]))
    buckets.add(np.array([0, 2]), np.array([1, 9]))
    assert [held.between(0, len(held)).tolist() for held in buckets.spools] == [[6, 1], [], [5, 4, 9]]


def test_one_leaking_row_among_millions_is_not_rounded_away():
    pairs = searched(["um dois tres quatro", "um dois tres quatro", "cinco seis sete"], 1.0)
    side = np.concatenate([[0, 1, 1], np.full(3_000_000, 1)])
    assert leakage(pairs, np.arange(len(side)), side, 1.0)["share"] == 0.000001
    assert leakage(pairs, np.arange(3), np.array([0, 1, 1]), 1.0)["share"] == 0.5
    assert leakage(pairs, np.arange(3), np.array([1, 1, 0]), 1.0)["share"] == 0
