"""Of near-duplicates the first is kept, and a row is left out only for one that is kept and as similar as asked."""

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.lib import near
from stages.lib.near_rows import find_similar

WORDS = ["azul", "verde", "mesa", "copo", "prato", "vidro"]


def found(folder, texts, threshold, **table):
    path = folder / "rows.parquet"
    rows = pl.DataFrame({"row_id": range(1, len(texts) + 1), "response": texts, **table})
    rows.write_parquet(path)
    return find_similar(path, ["response", *table], threshold)


def standing(similar) -> dict[int, int]:
    return dict(similar.rows.iter_rows())


def jaccard(one: str, other: str) -> float:
    sets = []
    for text in (one, other):
        words = text.split()
        sets.append({*([tuple(words)] if 0 < len(words) < 3 else []), *zip(words, words[1:], words[2:], strict=False)})
    return len(sets[0] & sets[1]) / max(len(sets[0] | sets[1]), 1)


def test_the_first_of_near_duplicates_stands_for_the_others(tmp_path):
    base = "um copo azul de vidro fino para a mesa da sala de jantar da casa"
    texts = [base, "outra coisa bem diferente desta", f"{base} nova", "e mais uma coisa que não tem par", base.upper()]
    similar = found(tmp_path, texts, 0.8)
    assert standing(similar) == {3: 1, 5: 1}
    assert (similar.largest, similar.not_compared) == (3, 0)


def test_a_chain_loses_no_row_that_is_like_none_that_is_kept(tmp_path):
    words = [f"p{n}" for n in range(30)]
    chain = [" ".join(words[start : start + 22]) for start in range(0, 8, 2)]  # neighbours share 18 of 22 triples
    assert jaccard(chain[0], chain[1]) == pytest.approx(18 / 22)
    assert jaccard(chain[0], chain[2]) == pytest.approx(16 / 24)
    assert standing(found(tmp_path, chain, 0.8)) == {2: 1, 4: 3}


def test_inputs_and_response_are_compared_together(tmp_path):
    said = "um copo azul de vidro fino"
    titles = ["copo azul de mesa", "prato de louça bem grande", "copo azul de mesa"]
    assert standing(found(tmp_path, [said] * 3, 0.9, title=titles)) == {3: 1}


def test_of_very_many_equal_rows_one_is_kept_though_not_all_pairs_are_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(near, "MOST_PAIRS", 150)  # three rows before each
    similar = found(tmp_path, ["a mesma frase de sempre"] * 50, 0.8)
    assert standing(similar) == dict.fromkeys(range(2, 51), 1)
    assert (similar.largest, similar.not_compared) == (50, 0)


def test_only_the_table_stays_on_disk(tmp_path):
    assert standing(found(tmp_path, ["o copo azul", "o copo azul"], 0.8)) == {2: 1}
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]


def test_nothing_is_left_out_of_nothing(tmp_path):
    similar = found(tmp_path, ["um copo"], 0.5)
    assert (standing(similar), similar.largest) == ({}, 0)


TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join), min_size=1, max_size=25)


@given(TEXTS, st.sampled_from([0.5, 0.7, 1.0]), st.sampled_from([0, 10, 1 << 28]))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_row_left_out_is_like_a_kept_one_and_no_two_kept_ones_are_alike(tmp_path, texts, threshold, most):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near, "MOST_PAIRS", most)
        similar = found(tmp_path, texts, threshold)
    out = standing(similar)
    kept = [row for row in range(1, len(texts) + 1) if row not in out]
    assert set(out.values()) <= set(kept)
    for row, stands in out.items():
        assert stands < row
        assert jaccard(texts[stands - 1], texts[row - 1]) >= threshold - 1e-9
    if not similar.not_compared:
        alike = [(a, b) for a in kept for b in kept if a < b and jaccard(texts[a - 1], texts[b - 1]) >= threshold]
        assert alike == []
