"""The words that training curves earn."""

import math

import pytest

from stages.lib.health import WORDS, Point, health


def curves(train, validation):
    return [Point(step, *losses) for step, losses in enumerate(zip(train, validation, strict=True))]


@pytest.mark.parametrize(
    ("train", "validation", "words"),
    [
        # The three pairs of last losses that the tarot project's guide names (R10).
        ([3.0, 1.2, 0.50], [3.1, 1.5, 1.20], ["overfitting"]),
        ([3.0, 2.3, 2.00], [3.0, 2.2, 2.10], ["underfitting"]),
        ([3.8, 2.0, 1.20], [3.9, 3.6, 3.50], ["unstable", "overfitting"]),
        ([3.5, 1.0, 0.55, 0.50], [3.4, 1.0, 0.60, 0.58], ["healthy"]),
        ([3.5, 0.9, 0.7, 0.6], [3.4, 1.0, 0.8, 0.95], ["overfitting"]),  # validation turned upwards
        ([3.5, 1.4, 1.2, 1.0], [3.4, 1.5, 1.3, 1.1], ["still_learning"]),
        ([1.0, 0.6, 2.5, 0.7], [1.0, 0.8, 0.8, 0.8], ["unstable"]),  # a leap that came back
        ([1.0, 0.6, math.nan], [1.0, 0.8, 0.8], ["unstable"]),
        ([0.30, 0.29, 0.28], [0.30, 0.31, 0.31], ["healthy"]),
        ([], [], ["too_short"]),
    ],
)
def test_curves_earn_their_words(train, validation, words):
    assert health(curves(train, validation)) == words


def test_losses_are_looked_at_where_they_were_measured():
    points = [Point(1, 3.0, None), Point(2, 1.0, None), Point(3, None, 1.1), Point(4, 0.9, None)]
    assert health(points) == ["healthy"]
    assert health([Point(1, 3.0, None), Point(2, 2.9, None)]) == ["too_short"]


def test_every_word_has_its_sentence():
    assert sorted(WORDS) == ["healthy", "overfitting", "still_learning", "too_short", "underfitting", "unstable"]
