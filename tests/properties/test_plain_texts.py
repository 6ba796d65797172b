"""Plain texts take a short way through cleaning; it must lead to the very place that the long one leads to."""

import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.lib import plain
from stages.lib.texts import put_right, text_rules

ASCII = st.text(st.characters(max_codepoint=127), max_size=30)
SPACED = st.text(st.sampled_from(" \t\n\x0b\x0c\r\x1c\x1f ab&<;é\u00a0\u2003😀"), max_size=30)
TEXTS = st.lists(st.one_of(st.none(), ASCII, SPACED), max_size=20)
ODD = re.compile(r"[^\x20-\x7e\t-\r\x1c-\x1f]|[&<]")


@given(TEXTS)
def test_the_rest_are_those_with_markup_controls_or_wide_characters(texts):
    rest = plain.sort_out(pl.Series("text", texts, pl.String), spaces=True).rest
    assert rest.to_list() == [number for number, text in enumerate(texts) if text and ODD.search(text)]


@given(TEXTS)
def test_white_space_is_what_python_splits_ascii_texts_at(texts):
    found = plain.sort_out(pl.Series("text", texts, pl.String), spaces=True)
    wanted = [text if text is None or ODD.search(text) else " ".join(text.split()) for text in texts]
    assert found.texts.to_list() == wanted
    assert found.spaced.to_list() == [n for n, (text, new) in enumerate(zip(texts, wanted, strict=True)) if text != new]


@given(TEXTS)
def test_without_the_rule_for_white_space_a_plain_text_stays_as_it_is(texts):
    found = plain.sort_out(pl.Series("text", texts, pl.String), spaces=False)
    assert found.texts.to_list() == texts
    assert found.spaced.len() == 0


@given(TEXTS)
def test_uncommon_characters_are_all_there_and_in_order(texts):
    uncommon = plain.uncommon(pl.Series("text", texts, pl.String)).to_list()
    assert uncommon == ["".join(re.findall(r"[^\x20-\x7e\t-\r\x1c-\x1f]", text or "")) for text in texts]


@pytest.mark.parametrize("characters", ["default", "any"])
@given(texts=TEXTS)
def test_the_short_way_ends_where_the_long_one_does(characters, texts):
    rules = text_rules(characters)
    series = pl.Series("text", texts, pl.String)
    short, _ = put_right(series, rules)
    with pytest.MonkeyPatch.context() as patch:  # nothing counts as plain, every character as uncommon
        everything = pl.int_range(series.len(), dtype=pl.UInt32, eager=True)
        nothing = pl.Series([], dtype=pl.UInt32)
        patch.setattr(plain, "sort_out", lambda given, **_: plain.Sorted(given, nothing, everything))
        patch.setattr(plain, "uncommon", lambda given: given)
        long, _ = put_right(series, rules)
    assert short.to_list() == long.to_list()


def test_texts_longer_than_a_portion_come_out_whole():
    long = ("a  b\n" * plain.BYTES)[:-1]
    found = plain.sort_out(pl.Series("text", ["x  y", long, "", None, " z"]), spaces=True)
    assert found.texts.to_list() == ["x y", " ".join(long.split()), "", None, "z"]
    assert found.spaced.to_list() == [0, 1, 4]
