"""The order of the rows: similar lengths share a step, and steps come in no order of length."""

import itertools

import pytest

from stages.lib.order import by_length, sampler

LENGTHS = [(37 * n) % 50 + 1 for n in range(403)]


@pytest.mark.parametrize("batch", [1, 4, 16])
def test_every_row_is_seen_once(batch):
    assert sorted(by_length(LENGTHS, batch, 1)) == list(range(403))


def test_a_step_spans_fewer_lengths_than_chance_would_give_it():
    rows = by_length(LENGTHS, 16, 1)
    steps = [[LENGTHS[row] for row in rows[begin : begin + 16]] for begin in range(0, 400, 16)]
    spans = [max(lengths) - min(lengths) for lengths in steps]
    assert len(spans) == 25
    assert sum(spans) / 25 < 20  # of 50; sixteen drawn at random span 44


def test_the_longest_row_is_in_the_first_step_and_the_incomplete_step_is_last():
    rows = by_length(LENGTHS, 16, 1)
    assert max(LENGTHS) in [LENGTHS[row] for row in rows[:16]]
    assert len(rows) % 16 == 3


def test_steps_do_not_go_from_long_to_short():
    rows = by_length(LENGTHS, 16, 1)
    means = [sum(LENGTHS[row] for row in rows[begin : begin + 16]) / 16 for begin in range(0, 400, 16)]
    falls = sum(later < earlier for earlier, later in itertools.pairwise(means))
    assert 8 <= falls <= 16  # of 24


def test_seed_and_epoch_decide_and_nothing_else():
    import torch

    first = sampler(LENGTHS, 16, seed=1)
    torch.rand(3)
    second = sampler(LENGTHS, 16, seed=1)
    assert list(first) == list(second) == list(first)
    first.set_epoch(1)
    assert list(first) != list(second)
    assert list(first) == list(sampler(LENGTHS, 16, seed=2))
