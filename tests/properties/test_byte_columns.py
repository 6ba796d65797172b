"""Columns of texts as bytes: what numpy and polars say in a slower way."""

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from stages.lib.byte_columns import bytes_of, ends_of, texts_of, where, without

MASKS = st.lists(st.booleans(), max_size=70).map(lambda values: np.array(values, bool))
TEXTS = st.lists(st.text(max_size=12), max_size=20)


@given(MASKS)
def test_where_is_where_numpy_finds_it(mask):
    assert where(mask).tolist() == np.flatnonzero(mask).tolist()


@given(MASKS)
def test_what_is_left_is_what_was_not_named(mask):
    letters = np.arange(len(mask), dtype=np.uint8)
    assert without(letters, np.flatnonzero(mask)).tolist() == letters[~mask].tolist()


@given(TEXTS)
def test_texts_become_bytes_and_texts_again(texts):
    letters, ends = bytes_of(pl.Series("text", texts, pl.String))
    assert letters.tobytes() == "".join(texts).encode()
    assert ends.tolist() == ends_of(np.array([len(text.encode()) for text in texts], np.int64)).tolist()
    assert texts_of("text", letters, ends).to_list() == texts


@given(TEXTS, st.integers(0, 20), st.integers(0, 20))
def test_a_part_of_a_column_has_the_bytes_of_that_part(texts, begun, count):
    letters, ends = bytes_of(pl.Series("text", texts, pl.String).slice(begun, count))
    assert letters.tobytes() == "".join(texts[begun : begun + count]).encode()
    assert ends[0] == 0
