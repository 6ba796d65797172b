"""What holds for the metrics of any texts."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from stages.lib.agreement import chrf_scorer, common_subsequence, statistics
from stages.lib.answers import Answers, Questions
from stages.lib.char_ngrams import CharNgrams
from stages.lib.examples import marked
from stages.lib.metrics import METRICS, measure
from stages.lib.statistics import holm, p_value
from stages.lib.words import words

TEXT = st.text(st.sampled_from("aàãbcç éêÉ .,-&;<>\n😀ﬁßİ"), max_size=40)
ANY = st.one_of(TEXT, st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
PAIRS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=8)
LETTERS = st.lists(st.sampled_from("abcd"), max_size=12)


def measured(pairs):
    predictions, references = zip(*pairs, strict=True)
    return measure(Answers(Questions(references, references), predictions))


def longest(one, other):
    """The textbook table, cell by cell."""
    table = np.zeros((len(one) + 1, len(other) + 1), dtype=int)
    for i, a in enumerate(one, 1):
        for j, b in enumerate(other, 1):
            table[i, j] = table[i - 1, j - 1] + 1 if a == b else max(table[i - 1, j], table[i, j - 1])
    return table[-1, -1]


@given(LETTERS, LETTERS)
def test_the_fast_subsequence_is_the_textbook_one(one, other):
    assert common_subsequence(one, other) == longest(one, other)


@settings(deadline=None)
@given(PAIRS)
def test_any_text_gives_a_number_in_range(pairs):
    for name, value in measured(pairs).values().items():
        metric = METRICS[name]
        assert metric.low <= value, name
        assert metric.high is None or value <= metric.high + 1e-9, name


@settings(deadline=None)
@given(PAIRS)
def test_corpus_scores_are_sacrebleus_for_any_text(pairs):
    predictions, references = zip(*pairs, strict=True)
    values = measured(pairs).values()
    for name, scorer in (("bleu", BLEU()), ("chrf", CHRF())):
        wanted = scorer.corpus_score(predictions, [list(references)]).score
        assert values[name] == pytest.approx(wanted, abs=1e-9), name


@settings(deadline=None)
@given(st.lists(st.tuples(ANY, ANY), min_size=1, max_size=6))
def test_character_counts_are_sacrebleus_row_by_row(pairs):
    predictions, references = zip(*pairs, strict=True)
    wanted = statistics(chrf_scorer(references), predictions)
    assert CharNgrams(references).statistics(predictions).tolist() == wanted.tolist()


def test_character_counts_are_sacrebleus_for_thousands_of_characters():
    many = "".join(chr(0x4E00 + number) for number in range(1500))
    references, predictions = [many, many[::2]], [many[3:], many]
    counts = CharNgrams(references)
    assert not counts.fits
    assert counts.statistics(predictions).tolist() == statistics(chrf_scorer(references), predictions).tolist()


@settings(deadline=None)
@given(PAIRS)
def test_rouge_is_rouge_score_for_any_text(pairs):
    names = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    scorer = RougeScorer(names, tokenizer=SimpleNamespace(tokenize=words))
    told = measured(pairs)
    for name in names:
        wanted = [scorer.score(reference, prediction)[name].fmeasure for prediction, reference in pairs]
        assert told.row_values(name) == pytest.approx(wanted, abs=1e-9), name


@settings(deadline=None)
@given(st.lists(TEXT.filter(words), min_size=1, max_size=6))
def test_a_perfect_answer_is_perfect(texts):
    values = measured([(text, text) for text in texts]).values()
    perfect = {name: values[name] for name in ("rouge1", "rougeL", "rougeLsum", "exact_match", "length_ratio")}
    assert perfect == pytest.approx(dict.fromkeys(perfect, 1.0))


@settings(deadline=None)
@given(PAIRS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(pairs, chance):
    mixed = list(pairs)
    chance.shuffle(mixed)
    assert measured(mixed).values() == pytest.approx(measured(pairs).values(), abs=1e-9)


@settings(deadline=None)
@given(PAIRS)
def test_a_row_counted_twice_weighs_twice(pairs):
    once = measured(pairs)
    twice = measured([*pairs, pairs[0]])
    for name, rows in once.rows.items():
        sums = rows.sum(axis=0) + rows[0]
        assert METRICS[name].corpus(sums) == pytest.approx(twice.values()[name], abs=1e-9), name


@given(TEXT, TEXT)
def test_marks_change_no_word_of_a_text(text, other):
    assert " ".join(piece.text for piece in marked(text, other)).split() == text.split()
    assert not any(piece.differs for piece in marked(text, text))


@given(st.dictionaries(st.text(max_size=3), st.floats(0.001, 1), max_size=8))
def test_a_correction_never_makes_surer(p_values):
    corrected = holm(p_values)
    assert set(corrected) == set(p_values)
    assert all(p_values[name] <= corrected[name] <= 1 for name in p_values)


@given(st.floats(-5, 5), st.lists(st.floats(-5, 5), min_size=1, max_size=50))
def test_a_p_value_is_a_share_above_zero(observed, differences):
    assert 0 < p_value(observed, np.array(differences)) <= 1
