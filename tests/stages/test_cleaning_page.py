"""The page of examples shows what each rule did and why rows were left out, and nothing in a row can act in it."""

import re
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_tables import json_lines, run_clean, write_recipe

from stages.lib import changes, records
from stages.lib.changes import Piece, shown, visible

SAID = "Uma caneca de louça, boa para o café da manhã e o chá da tarde, número"


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Cleans rows (title, content) and gives the page as text."""
    monkeypatch.chdir(tmp_path)

    def run(rows, *, as_csv=False, **changed):
        write_recipe(tmp_path, **changed)
        table = [{"title": title, "content": content} for title, content in rows]
        name = Path("rows.csv" if as_csv else "rows.jsonl")
        name.write_bytes(pl.DataFrame(table).write_csv().encode() if as_csv else json_lines(table))
        run_clean(tmp_path, name)
        return (tmp_path / "reports/cleaning.html").read_text("utf-8")

    return run


def rule(page: str, name: str) -> str:
    return page.split(f'id="{name}"')[1].split('class="rule"', maxsplit=1)[0]


def test_each_rule_shows_what_went_and_what_came(made):
    page = made([("caneca", f"{SAID} 1."), ("lou&ccedil;a", "<b>Um copo</b> com  alÃ§a.")])
    assert "lou<del>" not in page  # a word is marked whole
    assert "<del>lou&amp;ccedil;a</del></p><p><ins>louça</ins>" in rule(page, "entities")
    assert "<del>&lt;b&gt;</del>Um copo<del>&lt;/b&gt;</del> com" in rule(page, "tags")
    assert "<del>alÃ§a</del>" in rule(page, "encoding")
    assert "<ins>alça</ins>" in rule(page, "encoding")
    assert "com <del>␣</del>alça" in rule(page, "white_space")
    assert "row 2, title" in rule(page, "entities")
    assert "1 row changed" in rule(page, "tags")
    assert "These rules found nothing to change: characters, control, unicode." in page


def test_what_is_seen_only_after_another_rule_is_shown_too(made):
    page = made([("caneca", f"&amp;lt;b&amp;gt;{SAID}&amp;lt;/b&amp;gt;")])
    assert "<del>&lt;b&gt;</del>Uma caneca" in rule(page, "tags")


def test_rows_that_were_left_out_stand_under_their_reason(made):
    page = made(
        [("caneca", f"{SAID} 1."), ("caneca", "N/A"), ("caneca", f" {SAID} 1."), ("caneca", f"{SAID} 1, nova.")],
        clean__near_duplicates=0.7,
    )
    assert "line 2" in rule(page, "stub")
    assert "&#34;content&#34;: &#34;N/A&#34;" in rule(page, "stub")
    assert "row 3; kept: row 1" in rule(page, "duplicate")
    assert "row 4; kept: row 1" in rule(page, "near_duplicate")
    assert "<del>, nova</del>." in rule(page, "near_duplicate")


def test_nothing_in_a_row_can_act_in_the_page(made):
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    page = made([("caneca", f"{SAID} 1."), (f"&lt;{evil}", f"{SAID} {evil} \x00 &quot;"), ("x", f"{evil}")])
    assert "&lt;script&gt;alert(1)" in page
    assert not re.search(r"<(script|img|link|iframe)\b|https?://|url\(|\x00", page)
    assert "default-src 'none'" in page


def test_the_same_rows_give_the_same_bytes_and_few_examples_however_many_rows(made):
    rows = [(f"caneca {n}", f"<p>{SAID} {n}</p>") for n in range(3000)] + [("caneca", "N/A")] * 50
    page = made(rows)
    assert page == made(rows)
    assert rule(page, "tags").count("<article") == 5
    assert [f"row {n}, response" in page for n in (1, 5, 6)] == [True, True, False]
    assert "3,000 rows changed" in page
    assert rule(page, "stub").count("<article") == 5
    assert len(page) < 40_000


def test_rows_are_looked_at_only_while_examples_are_missing(made, monkeypatch):
    traced = []
    real = changes._traced

    def watched(rows, rules):
        traced.append((rows["row_id"].to_list(), *rules))
        return real(rows, rules)

    monkeypatch.setattr(changes, "_traced", watched)
    monkeypatch.setattr(records, "ROWS_PER_BLOCK", 10)
    rows = [("caneca", f"<p>{SAID} {n}</p>") for n in range(100)]
    rows[55] = ("caneca", f"{SAID} &amp; 55")
    page = made(rows, as_csv=True)
    # Once for each field, by the rules that changed them.
    assert traced == [([1, 2, 3, 4, 5], "tags", "white_space")] * 2 + [([56], "entities")] * 2
    assert "row 56, response" in rule(page, "entities")


def test_a_long_text_is_cut_to_where_it_changed():
    long = "palavra " * 500
    before, after = shown(f"{long}caf&eacute; {long}", f"{long}café {long}")
    assert before == [
        Piece("…", differs=False),
        Piece(f"{'palavra ' * 8}", differs=False),
        Piece("caf&eacute;", differs=True),
        Piece(f" {'palavra ' * 7}pal", differs=False),
        Piece("…", differs=False),
    ]
    assert [piece.text for piece in after if piece.differs] == ["café"]


@pytest.mark.parametrize("texts", [("", "a"), ("a", ""), ("aaa", "aa"), ("aba", "a"), ("x" * 5000, "y" * 5000)])
def test_the_pieces_of_short_texts_make_up_the_texts(texts):
    for text, pieces in zip(texts, shown(*texts), strict=True):
        told = "".join(piece.text for piece in pieces)
        assert told == text or (told.endswith("…") and len(told) < 500)
        assert any(piece.differs for side in shown(*texts) for piece in side)


@given(st.lists(st.booleans(), min_size=1, max_size=400), st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_where_words_only_go_nothing_is_marked_as_come_not_even_where_the_text_is_cut(kept, ahead):
    words = [f"p{n}" for n in range(len(kept))]
    begun = "x " * ahead
    left = [word for word, stays in zip(words, kept, strict=True) if stays]
    before, after = shown(f"{begun}{' '.join(words)} fim", " ".join([*begun.split(), *left, "fim"]))
    assert not any(piece.differs for piece in after)
    gone = [word for word, stays in zip(words, kept, strict=True) if not stays]
    marked = [word for piece in before if piece.differs for word in re.findall(r"p\d+", piece.text)]
    assert all(word in gone for word in marked[:-1])  # the last one may be cut


@pytest.mark.parametrize(("around", "entity", "sign"), [("商品説明", "&amp;", "&"), ("N", "&eacute;", "é")])
@pytest.mark.parametrize("begun", ["", "a "])
def test_a_change_is_seen_in_a_text_without_spaces(around, entity, sign, begun):
    before, after = shown(*(begun + around * 500 + change + around * 500 for change in (entity, sign)))
    assert any(piece.differs for piece in before)
    assert entity in "".join(piece.text for piece in before)
    assert sign in "".join(piece.text for piece in after)


def test_what_cannot_be_seen_is_shown_by_its_number():
    assert visible("a\u200bb\x00 \ufeff", marked=False) == "a⟨U+200B⟩b⟨U+0000⟩ ⟨U+FEFF⟩"
    assert visible("cafe\u0301", marked=True) == "cafe⟨U+0301⟩"
    assert visible("cafe\u0301", marked=False) == "cafe\u0301"
    assert visible(" \n\t", marked=True) == "␣⏎⇥"
    assert visible("um copo", marked=True) == "um copo"
