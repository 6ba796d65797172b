"""What holds for cleaning whatever the rows are."""

import json

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.lib.cleaning import Cleaning
from stages.lib.measures import measured
from stages.lib.readers import read
from stages.lib.rules import Clean, Rules, put_right_rows, sorted_out
from stages.lib.source import Source
from stages.plumbing.problem import Problem

SECTION = Clean(
    rules=Rules(**dict.fromkeys(Rules.model_fields, True)),
    characters="default",
    min_input_chars=2,
    max_input_chars=20,
    min_response_chars=3,
    max_response_chars=30,
    languages=None,
    near_duplicates=None,
)
SOURCE = Source(
    path="rows.jsonl",
    sha256=None,
    format="auto",
    encoding="auto",
    sheet=None,
    delimiter=None,
    columns={"inputs": {"title": "title"}, "response": "content"},
)

# Pieces that rules are about, so that chance puts them beside each other.
PIECES = st.sampled_from(
    [
        "&amp;",
        "&",
        "amp;",
        "lt;",
        "&lt;",
        "gt;",
        "<b>",
        "</b>",
        "<",
        ">",
        "b",
        "\x00",
        "\u00ad",
        "Ã",
        "©",
        "\u0081",
        "\u00a0",
        "é",
        "e\u0301",
        " ",
        "\n",
        "\U0001f600",
        "\u200d",
        "\ufe0f",
        "\ufffd",
        "#",
        "&#233;",
        ";",
        "a",
        "-->",
        "<p",
        "/>",
        "\x1f",
        "<!--",
        "Â",
        "â€™",
    ]
)
TEXTS = st.one_of(st.none(), st.lists(PIECES, max_size=12).map("".join), st.text(max_size=40))
ROWS = st.lists(st.tuples(TEXTS, TEXTS), max_size=12)


@given(ROWS, st.sampled_from(["default", "strict", "any"]))
@settings(max_examples=150, deadline=None)
def test_cleaning_twice_equals_cleaning_once(rows, characters):
    section = SECTION.model_copy(update={"characters": characters})
    table = pl.DataFrame(rows, {"title": pl.String, "response": pl.String}, orient="row")
    once, _ = put_right_rows(table, ["title", "response"], section)
    twice, changed = put_right_rows(once, ["title", "response"], section)
    assert twice.equals(once)
    assert not any(len(places) for places in changed.values())


@given(ROWS)
@settings(max_examples=100, deadline=None)
def test_a_row_is_kept_or_has_one_reason(rows):
    table = pl.DataFrame(rows, {"title": pl.String, "response": pl.String}, orient="row").with_row_index("row_id")
    kept, out = sorted_out(measured(table, ["title", "response"]), ["title"], SECTION)
    assert kept.height + out.height == table.height
    assert out["reason"].null_count() == 0
    assert kept["response"].str.len_chars().is_between(3, 30).all()


LINES = st.lists(
    st.one_of(
        st.tuples(TEXTS, TEXTS).map(lambda row: json.dumps({"title": row[0], "content": row[1]}).encode()),
        st.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b"")),
        st.sampled_from([b"", b"  ", b"{}", b"[]", b'{"title": 1}', b'{"title": "copo", "content": "um copo"}']),
    ),
    max_size=20,
)


@given(LINES, st.booleans())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_read_is_kept_and_duplicates_and_quarantined_whatever_the_file_holds(tmp_path, lines, ends):
    sure = b'{"title": "mesa", "content": "uma mesa"}'  # so that there is something to keep
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join([sure, *lines]) + b"\n" * ends)
    cleaning = Cleaning(SOURCE, SECTION)
    places, kept, aside = [], 0, 0
    try:
        blocks = list(read(path, SOURCE))
    except Problem:  # so much of it looks like an older encoding that somebody has to say which it is
        blocks = list(read(path, SOURCE.model_copy(update={"encoding": "cp1252"})))
    for block in blocks:
        good, bad = cleaning.block(block)
        kept, aside = kept + good.height, aside + bad.height
        places += [*good["line"], *bad["line"]]
    report = cleaning.ledger.report()
    assert report["near_duplicates"] == {"rows": 0, "largest": 0, "not_compared": 0}
    full = [number for number, line in enumerate([sure, *lines], 1) if line.strip()]
    assert sorted(places) == full
    assert report["read"] == len(full) == kept + aside
    assert report["read"] == report["kept"] + report["duplicates"] + report["quarantined"]
    assert report["quarantined"] == sum(report["reasons"].values())


# Sentences of three languages and two that are nearly the same, so that every rule finds something to do.
SAID = st.sampled_from(
    [
        "Uma caneca azul de louça com alça, boa para o café da manhã e para o chá.",
        "Uma caneca azul de louça com alça, boa para o café da manhã e para o leite.",
        "A blue china mug with a wide handle, good for coffee in the morning and tea.",
        "<b>Uma caneca azul</b> de lou&ccedil;a com alça, boa para o café da manhã e para o chá.",
        "N/A",
        "curto",
    ]
)
FULL = SECTION.model_copy(update={"max_response_chars": 90, "languages": ["pt"], "near_duplicates": 0.7})


@given(st.lists(st.tuples(st.sampled_from(["caneca", "xícara", "x"]), st.one_of(SAID, TEXTS)), max_size=25))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_ledger_adds_up_with_every_rule_and_cleaning_the_clean_rows_changes_nothing(tmp_path, rows):
    sure = ("mesa", "Uma mesa de madeira clara com quatro cadeiras iguais para a cozinha.")
    lines = [json.dumps({"title": title, "content": text}) for title, text in [sure, *rows]]
    first = cleaned(tmp_path / "first", lines)
    report = first["report"]
    assert report["read"] == len(lines) == report["kept"] + report["duplicates"] + report["quarantined"]
    assert report["quarantined"] == sum(report["reasons"].values())
    reasons = dict(first["aside"]["reason"].value_counts().iter_rows())
    assert report["near_duplicates"]["rows"] == reasons.get("near_duplicate", 0)
    assert report["duplicates"] == reasons.get("duplicate", 0) + reasons.get("near_duplicate", 0)
    standing = first["aside"].drop_nulls("row_kept")
    assert (standing["row_kept"] < standing["row_id"]).all()
    assert standing["row_kept"].is_in(first["kept"]["row_id"].implode()).all()
    assert sorted([*first["kept"]["row_id"], *first["aside"]["row_id"]]) == list(range(1, len(lines) + 1))

    kept = first["kept"].select("title", pl.col("response").alias("content"))
    again = cleaned(tmp_path / "again", [json.dumps(row) for row in kept.iter_rows(named=True)])
    assert again["report"]["kept"] == again["report"]["read"] == report["kept"]
    assert again["kept"].select("title", "response").equals(first["kept"].select("title", "response"))


def cleaned(folder, lines):
    folder.mkdir(exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    cleaning = Cleaning(SOURCE, FULL)
    report = cleaning.run(folder / "rows.jsonl", folder / "kept.parquet", folder / "aside.parquet")
    tables = {name: pl.read_parquet(folder / f"{name}.parquet") for name in ("kept", "aside")}
    return {**tables, "report": report}
