"""Plain texts take a short way through cleaning; it must lead to the very place that the long one leads to."""

import re

import numpy as np
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
    assert rest.tolist() == [bool(text and ODD.search(text)) for text in texts]


@given(TEXTS)
def test_white_space_is_what_python_splits_ascii_texts_at(texts):
    found = plain.sort_out(pl.Series("text", texts, pl.String), spaces=True)
    wanted = [text if text is None else " ".join(re.split(r"[\t-\r\x1c-\x1f ]+", text)).strip(" ") for text in texts]
    assert found.texts.to_list() == wanted
    assert found.spaced.tolist() == [text != new for text, new in zip(texts, wanted, strict=True)]


@given(TEXTS)
def test_without_the_rule_for_white_space_a_plain_text_stays_as_it_is(texts):
    found = plain.sort_out(pl.Series("text", texts, pl.String), spaces=False)
    assert found.texts.to_list() == texts
    assert not found.spaced.any()


@given(TEXTS)
def test_uncommon_characters_are_all_there_and_in_order(texts):
    series = pl.Series("text", texts, pl.String)
    uncommon = plain.sort_out(series, spaces=False).uncommon.to_list()
    assert uncommon == plain.sort_out(series, spaces=True).uncommon.to_list()
    assert uncommon == ["".join(re.findall(r"[^\x20-\x7e\t-\r\x1c-\x1f]", text or "")) for text in texts]


def everything_is_odd(texts: pl.Series, *, spaces: bool) -> plain.Sorted:
    """Part no text from the others, and put white space right the slow way."""
    white = texts.str.replace_all(r"[\t-\r\x1c-\x1f ]+", " ").str.strip_chars(" ") if spaces else texts
    spaced = (white != texts).fill_null(value=False).to_numpy()
    return plain.Sorted(white, spaced, np.ones(texts.len(), bool), texts.fill_null(""))


@pytest.mark.parametrize("off", ["", "entities", "white_space"])
@pytest.mark.parametrize("characters", ["default", "any"])
@given(texts=TEXTS)
def test_the_short_way_ends_where_the_long_one_does(characters, off, texts):
    rules = text_rules(characters)
    rules.pop(off, None)
    series = pl.Series("text", texts, pl.String)
    short, _ = put_right(series, rules)
    with pytest.MonkeyPatch.context() as patch:  # nothing counts as plain, every character as uncommon
        patch.setattr(plain, "sort_out", everything_is_odd)
        long, _ = put_right(series, rules)
    assert short.to_list() == long.to_list()


def test_texts_longer_than_a_portion_come_out_whole():
    long = ("a  b\n" * plain.BYTES)[:-1]
    found = plain.sort_out(pl.Series("text", ["x  y", long, "", None, " z"]), spaces=True)
    assert found.texts.to_list() == ["x y", " ".join(long.split()), "", None, "z"]
    assert found.spaced.tolist() == [True, True, False, False, True]


def test_any_amount_of_white_space_at_the_ends_goes():
    texts = [" " * n + "é" + "\t" * n for n in range(3 * plain.TAIL)] + [" " * (3 * plain.TAIL), ""]
    assert set(plain.sort_out(pl.Series("text", texts), spaces=True).texts) == {"é", ""}
