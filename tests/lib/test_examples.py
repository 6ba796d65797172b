"""The rows that the report shows, and the marks in their words."""

import numpy as np

from stages.lib.bands import band
from stages.lib.examples import Piece, choose, marked


def test_rows_are_shown_for_what_they_stand_for():
    before = ["a", "b", "c", "d"]
    after = ["x", "b", "y", "z"]
    scores = np.array([0.1, 0.5, 0.9, 0.3]), np.array([0.8, 0.5, 0.2, 0.9])
    kinds = choose([7, 8, 9, 10], before, after, scores, 1)
    assert kinds == {3: ["best", "random"], 2: ["worst", "worsened"], 0: ["improved"], 1: ["unchanged"]}


def test_no_row_gets_worse_when_none_does():
    kinds = choose([1, 2], ["a", "b"], ["a", "c"], (np.array([0.1, 0.1]), np.array([0.1, 0.2])), 5)
    assert {kind for row in kinds.values() for kind in row} == {"best", "worst", "improved", "unchanged", "random"}


def test_words_that_the_other_text_lacks_are_marked():
    assert marked("A mesa Azul, de madeira", "a mesa azul de vidro") == [
        Piece("A mesa Azul, de", False),  # noqa: FBT003 - case and punctuation are no difference
        Piece("madeira", True),  # noqa: FBT003
    ]
    assert marked("", "a mesa") == []
    assert marked("a mesa", "") == [Piece("a mesa", True)]  # noqa: FBT003


def test_bands_are_those_of_the_tarot_project():
    assert [band("rougeL", value) for value in (0.0, 0.199, 0.2, 0.399, 0.4, 0.6, 1.0)] == [
        "low", "low", "medium", "medium", "good", "excellent", "excellent",
    ]  # fmt: skip
    assert [band("bleu", value) for value in (9.9, 10, 29.9, 30, 50)] == [
        "low",
        "medium",
        "medium",
        "good",
        "excellent",
    ]
