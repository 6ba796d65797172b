"""Exact duplicates are found across blocks as a dictionary would find them."""

import random

import polars as pl

from stages.lib.duplicates import Seen
from stages.lib.measures import measured

FIELDS = ["title", "response"]


def test_the_first_row_stands_for_its_duplicates_across_all_blocks():
    chance = random.Random(3)
    seen, known = Seen(), {}
    row_id = 0
    for _ in range(60):
        rows = [(str(chance.randrange(900)), chance.choice("ab")) for _ in range(chance.randrange(40))]
        ids = pl.Series("row_id", range(row_id + 1, row_id + 1 + len(rows)), pl.Int64)
        row_id += len(rows)
        table = pl.DataFrame(rows, {"title": pl.String, "response": pl.String}, orient="row")
        expected = [known.setdefault(row, own) for row, own in zip(rows, ids, strict=True)]
        assert seen.first(measured(table.with_columns(ids), FIELDS), FIELDS).to_list() == expected


def test_texts_that_only_read_the_same_when_joined_differ():
    table = pl.DataFrame({"row_id": [1, 2, 3], "title": ["ab", "a", "c"], "response": ["c", "bc", "ab"]})
    assert Seen().first(measured(table, FIELDS), FIELDS).to_list() == [1, 2, 3]
