"""A response in another language is set aside only when it is long enough to judge and the judge is sure."""

import polars as pl
import pytest
from pydantic import TypeAdapter, ValidationError

from stages.lib.languages import Languages, guesses, surely_other

PORTUGUESE = "Caneca de louça branca com alça larga, boa para o café da manhã."
ENGLISH = "White china mug with a wide handle, good for coffee in the morning."
SPANISH = "Taza de loza blanca con asa ancha, buena para el café de la mañana y la tarde."


@pytest.mark.parametrize(
    ("text", "languages", "other"),
    [
        (PORTUGUESE, ["pt"], False),
        (ENGLISH, ["pt"], True),
        (ENGLISH, ["pt", "en"], False),
        (SPANISH, ["pt"], True),
        (PORTUGUESE, ["en"], True),
        ("White china mug", ["pt"], False),  # too short to judge
        ("", ["pt"], False),
        ("4050 x 1230 x 99 mm / 12.5 kg / 110-220 V / 50-60 Hz", ["pt"], False),  # in no language
        ("日本語で書かれた商品の説明文です。" * 3, ["pt"], True),
        (ENGLISH.upper(), ["en"], False),
    ],
)
def test_what_is_surely_in_another_language(text, languages, other):
    assert surely_other(pl.Series("response", [text]), languages).to_list() == [other]


def test_a_short_text_has_no_language():
    assert guesses(["copo", PORTUGUESE])["language"].to_list() == [None, "pt"]


def test_the_beginning_decides():
    assert surely_other(pl.Series("response", [f"{PORTUGUESE * 6} {ENGLISH * 20}"]), ["pt"]).to_list() == [False]


@pytest.mark.parametrize("codes", [["pt", "xx"], ["portuguese"], ["PT"], []])
def test_an_unknown_language_is_refused(codes):
    with pytest.raises(ValidationError, match=r"ISO 639 codes that py3langid knows|at least 1 item"):
        TypeAdapter(Languages).validate_python(codes)
