"""The trivial systems and the unseen rows."""

import polars as pl

from stages.lib.answers import joined_inputs
from stages.lib.references import nearest_answers, rows_with_unseen_words
from stages.lib.words import words

TRAIN = pl.DataFrame(
    {
        "row_id": [3, 5, 8, 9],
        "line": [3, 5, 8, 9],
        "title": ["Mesa Azul", "Cadeira Azul", "Mesa de Jantar Rosa", "Mesa Azul"],
        "kind": ["móvel", "móvel", None, "móvel"],
        "response": ["a mesa azul", "a cadeira azul", "a mesa rosa", "outra mesa azul"],
    }
)


def test_inputs_are_all_fields_but_identity_and_response():
    assert joined_inputs(TRAIN) == ["Mesa Azul móvel", "Cadeira Azul móvel", "Mesa de Jantar Rosa", "Mesa Azul móvel"]


def test_the_nearest_row_answers_and_the_first_of_equals():
    asked = ["cadeira azul móvel", "mesa jantar", "MESA AZUL móvel", "nada disso", ""]
    found = nearest_answers(asked, TRAIN, 100)
    assert found == ["a cadeira azul", "a mesa rosa", "a mesa azul", "a mesa azul", "a mesa azul"]


def test_of_many_training_rows_the_same_ones_are_searched_whatever_their_order():
    some = nearest_answers(["Mesa Azul"], TRAIN, 2)
    assert some == nearest_answers(["Mesa Azul"], TRAIN[[2, 0, 3, 1]], 2)


def test_inputs_without_a_word_still_get_an_answer():
    assert nearest_answers(["azul"], TRAIN.with_columns(title=pl.lit("!"), kind=None), 10) == ["a mesa azul"]


def test_a_row_is_unseen_when_one_of_its_words_is():
    asked = [frozenset(words(text)) for text in ("mesa rosa", "mesa verde", "AZUL", "banqueta", "")]
    assert rows_with_unseen_words(asked, TRAIN).tolist() == [1, 3]
