"""The sample data that the project ships: made by its generator, of the promised size, and as dirty as promised."""

import json
import re
import sys
from collections import Counter
from pathlib import Path

import openpyxl
import pytest

SAMPLES = Path(__file__).resolve().parents[2] / "data" / "samples"


@pytest.fixture(scope="module")
def made():
    """The generator's modules, imported as its script imports them, and its catalogue."""
    sys.path.insert(0, str(SAMPLES))
    try:
        import generate
        import products
    finally:
        sys.path.remove(str(SAMPLES))
    return generate.contents(), products.build_catalogue()


@pytest.fixture(scope="module")
def lines():
    return (SAMPLES / "products.jsonl").read_bytes().decode().removesuffix("\n").split("\n")


@pytest.fixture(scope="module")
def rows(lines):
    """The lines that are objects whose title and content are texts, null or absent."""
    parsed = []
    for line in lines:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict) and isinstance(row["title"], str | None):
            parsed.append(row)
    return parsed


@pytest.fixture(scope="module")
def corpus():
    return (SAMPLES / "corpus.txt").read_text("utf-8").removesuffix("\n").split("\n")


@pytest.mark.parametrize("name", ["products.jsonl", "corpus.txt", "tarot.xlsx"])
def test_the_generator_makes_the_committed_bytes_again(made, name):
    assert made[0][name] == (SAMPLES / name).read_bytes()


def test_products_has_the_promised_lines(lines, rows):
    assert len(lines) == 10_140
    assert lines.count("") == 5
    assert len(lines) - 5 - len(rows) == 15
    assert len({row["uid"] for row in rows}) == len(rows)


def test_the_files_fit_into_a_repository():
    assert (SAMPLES / "products.jsonl").stat().st_size <= 4_000_000
    assert (SAMPLES / "corpus.txt").stat().st_size <= 4_500_000


def _content(row):
    return row.get("content") or ""


def test_titles_and_descriptions_of_ordinary_rows_have_the_promised_length(made):
    _, catalogue = made
    assert len(catalogue.descriptions) == 9_865
    assert len(set(catalogue.descriptions)) == 9_865
    assert {25 <= len(text.split()) <= 45 for text in catalogue.descriptions} == {True}


@pytest.mark.parametrize(
    ("dirt", "count", "shows"),
    [
        ("entities", 150, lambda row: re.search(r"&(?!amp;)#?\w+;", _content(row))),
        ("double entities", 30, lambda row: "&amp;" in _content(row)),
        ("tags", 120, lambda row: re.search(r"<(p|b|br|li|div)\b", _content(row)) and len(_content(row)) > 20),
        ("mojibake", 80, lambda row: re.search("[ÃÂ][\x80-\xbf‰‡Š“]", _content(row))),
        ("white space", 60, lambda row: re.search(r"\s$", _content(row)) and _content(row).strip()),
        ("invisible", 20, lambda row: re.search("(?<!Ã)[\u200b\u200d\ufeff\u00ad\x00\x07\x1f]", _content(row))),
        ("emoji", 15, lambda row: re.search("[🔥✨🎁😍🚚⭐]", f"{row['title']} {_content(row)}")),
        ("replacement signs", 5, lambda row: "\ufffd" in _content(row)),
        ("empty titles", 40, lambda row: not (row["title"] or "").strip()),
        ("empty contents", 60, lambda row: _content(row).strip() in {"", "<p></p>"}),
        ("over-long contents", 25, lambda row: len(_content(row)) > 4_000),
        ("too short contents", 25, lambda row: 0 < len(_content(row).strip()) < 10 and "<" not in _content(row)),
        ("titles as contents", 20, lambda row: row["title"] == row.get("content")),
    ],
)
def test_the_dirt_is_there(rows, dirt, count, shows):
    assert sum(bool(shows(row)) for row in rows) == count


def test_rows_are_duplicated_exactly(rows):
    times = Counter((row["title"], _content(row)) for row in rows if _content(row) and row["title"])
    assert sum(count - 1 for count in times.values()) == 150


def test_each_lone_brand_occurs_in_exactly_one_line(made, lines):
    _, catalogue = made
    seen = Counter(word for line in lines for word in set(re.findall(r"\w+", line)))
    assert len(catalogue.lone_brands) == 1_175
    assert {seen[brand] for brand in catalogue.lone_brands} == {1}


def test_the_corpus_holds_24000_distinct_texts(corpus):
    assert len(corpus) == 24_000
    assert len(set(corpus)) == 24_000


def test_no_line_of_the_corpus_contains_a_description_of_a_product(made, rows, corpus):
    _, catalogue = made
    descriptions = {*catalogue.descriptions, *(_content(row) for row in rows if len(_content(row)) > 100)}
    by_start = {}
    for description in descriptions:
        by_start.setdefault(description[:20], []).append(description)
    found = [
        line
        for line in corpus
        for start in range(len(line))
        for description in by_start.get(line[start : start + 20], ())
        if description in line
    ]
    assert found == []


def test_the_corpus_never_names_a_lone_brand(made, corpus):
    _, catalogue = made
    assert {word for line in corpus for word in re.findall(r"\w+", line)}.isdisjoint(catalogue.lone_brands)


def test_tarot_has_21_distinct_readings_of_each_of_22_cards():
    sheet = openpyxl.load_workbook(SAMPLES / "tarot.xlsx").active
    header, *readings = sheet.iter_rows(values_only=True)
    assert header == ("evento", "carta", "tema", "secao", "texto")
    assert len(readings) == 462
    cards = Counter(card for _, card, _, _, _ in readings)
    assert len(cards) == 22
    assert set(cards.values()) == {21}
    assert len({text for *_, text in readings}) == 462
    assert 150 <= sum(len(text) for *_, text in readings) / 462 <= 164
