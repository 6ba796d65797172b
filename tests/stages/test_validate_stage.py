"""Validate says which expectation failed and in which rows, and gives no gate then."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from source_tables import json_lines, run_clean, run_validate, write_recipe

from stages import shard
from stages.lib import expectations
from stages.plumbing.problem import Problem


@pytest.fixture
def cleaned(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_recipe(tmp_path)
    rows = [{"title": f"Produto <{n}>", "content": f"O produto número {n} tem {n} partes."} for n in range(200)]
    (tmp_path / "rows.jsonl").write_bytes(json_lines(rows) + b"broken\n" * 10)
    run_clean(tmp_path, Path("rows.jsonl"))
    return tmp_path


def outcomes(folder: Path) -> dict[str, dict]:
    report = json.loads((folder / "reports/validation.json").read_text())
    return {outcome["name"]: outcome for outcome in report["expectations"]} | {"success": report["success"]}


class _Tables(HTMLParser):
    """The cells of a page, row by row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] = " ".join(f"{self.rows[-1][-1]} {data}".split())

    def row_below(self, header: list[str]) -> list[str]:
        # A table may stand in a cell of another one, whose row goes on after it.
        return self.rows[self.rows.index(header) + 1][: len(header)]


def test_what_is_met_opens_the_gate_and_gives_the_same_bytes_again(cleaned):
    run_validate(cleaned)
    assert json.loads((cleaned / "reports/validation_gate.json").read_text()) == {"passed": True}
    first = {path.name: path.read_bytes() for path in (cleaned / "reports").rglob("*") if path.is_file()}
    run_validate(cleaned)
    assert first == {path.name: path.read_bytes() for path in (cleaned / "reports").rglob("*") if path.is_file()}
    assert outcomes(cleaned)["share_set_aside"]["observed"] == "0.047619"


def test_what_is_not_met_is_named_and_the_gate_stays_shut(cleaned):
    run_validate(cleaned)
    write_recipe(cleaned, expectations__min_rows=500, expectations__max_share_set_aside=0.01)
    with pytest.raises(Problem) as refused:
        run_validate(cleaned)
    assert refused.value.where == "expectation enough_rows (also failed: share_set_aside)"
    assert refused.value.found == "200"
    assert refused.value.do.startswith("put the data right or change expectations.min_rows;")
    assert not (cleaned / "reports/validation_gate.json").exists()
    assert outcomes(cleaned)["success"] is False
    assert "enough_rows" not in (cleaned / "reports/data_docs/index.html").read_text()[:500]
    with pytest.raises(Problem, match=r"not passed.*\n.*\n.*run dvc repro validate"):
        shard.main(cleaned / "data/clean.parquet", cleaned / "reports/validation_gate.json", cleaned / "data/shards")


def test_the_rows_that_offend_are_named(cleaned):
    path = cleaned / "data/clean.parquet"
    rows = pl.read_parquet(path)
    dirty = pl.when(pl.col("row_id").is_in([7, 50])).then(pl.lit("sobrou &eacute; aqui")).otherwise("response")
    rows.with_columns(dirty.alias("response")).write_parquet(path)
    write_recipe(cleaned, expectations__max_share_dirty=0.0)
    with pytest.raises(Problem, match="rows 7, 50"):
        run_validate(cleaned)
    assert outcomes(cleaned)["response_without_dirt"] == {
        "name": "response_without_dirt",
        "key": "expectations.max_share_dirty",
        "ok": False,
        "observed": "2 of 200 rows offend",
        "wanted": "column response dirt, value_set [0]",
        "rows": [7, 50],
    }
    docs = _Tables((cleaned / "reports/data_docs/index.html").read_text("utf-8"))
    assert docs.row_below(["Unexpected Value", "Count", "row_id"]) == ["1", "2", "7, 50"]


@pytest.mark.parametrize(("dirty", "rows", "share"), [(9, 50, 0.18), (7, 10, 0.7), (1, 3, 1 / 3), (0, 7, 0.0)])
def test_a_share_of_dirty_rows_may_reach_its_limit_and_not_pass_it(dirty, rows, share, cleaned):
    path = cleaned / "data/clean.parquet"
    clean = pl.read_parquet(path).head(rows)
    write_recipe(cleaned, expectations__max_share_dirty=share)
    for offending in (dirty, dirty + 1):
        texts = pl.when(pl.col("row_id") <= offending).then(pl.lit("sobrou <br> aqui")).otherwise("response")
        clean.with_columns(texts.alias("response")).write_parquet(path)
        if offending == dirty:
            run_validate(cleaned)
        else:
            with pytest.raises(Problem, match="expectation response_without_dirt"):
                run_validate(cleaned)


def test_of_very_many_rows_that_offend_the_first_twenty_are_named_and_all_are_counted(cleaned):
    path = cleaned / "data/clean.parquet"
    rows = pl.read_parquet(path)
    rows.with_columns(pl.when(pl.col("row_id") > 5).then(pl.lit("sobrou <br> aqui")).alias("response")).filter(
        pl.col("response").is_not_null()
    ).write_parquet(path)
    write_recipe(cleaned, expectations__max_share_dirty=0.5)
    with pytest.raises(Problem):
        run_validate(cleaned)
    found = outcomes(cleaned)["response_without_dirt"]
    assert (found["observed"], found["rows"]) == ("195 of 195 rows offend", list(range(6, 26)))


def test_lengths_and_distinct_values_can_be_asked_for(cleaned):
    write_recipe(
        cleaned,
        expectations__response_chars=[{"quantile": 0.5, "min": 10, "max": 20}],
        expectations__distinct={"title": {"min": 200, "max": 200}},
    )
    with pytest.raises(Problem, match="expectation response_chars"):
        run_validate(cleaned)
    found = outcomes(cleaned)
    assert found["title_distinct"]["ok"]
    assert "[36]" in found["response_chars"]["observed"]


def test_the_data_docs_load_nothing_and_run_nothing(cleaned):
    run_validate(cleaned)
    page = (cleaned / "reports/data_docs/index.html").read_text("utf-8")
    assert not re.search(r"<(script|link|img|iframe|object|embed)\b|https?://|\son\w+=|url\(", page)
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-", page)
    assert page.count("<h2>") == 3
    assert "Success" in page or "Succeeded" in page


def test_a_failure_about_the_whole_column_names_the_rows_that_show_why(cleaned):
    path = cleaned / "data/clean.parquet"
    rows = pl.read_parquet(path)
    long = pl.when(pl.col("row_id") == 9).then(pl.lit("muito " * 99)).otherwise("response")
    again = pl.when(pl.col("row_id").is_in([3, 5, 8])).then(pl.lit("Sempre o mesmo texto.")).otherwise(long)
    rows.with_columns(again.alias("response")).write_parquet(path)
    write_recipe(
        cleaned,
        expectations__response_chars=[{"quantile": 1.0, "min": None, "max": 500}],
        expectations__min_share_distinct_responses=1.0,
    )
    with pytest.raises(Problem, match="rows 3, 5, 8"):
        run_validate(cleaned)
    found = outcomes(cleaned)
    assert found["responses_differ"]["rows"] == [3, 5, 8]
    assert found["response_chars"]["rows"][0] == 9
    write_recipe(cleaned, expectations__response_chars=[{"quantile": 0.5, "min": 100, "max": None}])
    with pytest.raises(Problem, match="rows 3, 5, 8, 1"):
        run_validate(cleaned)


def test_every_expectation_that_can_be_set_names_its_parameter(cleaned):
    title, quantile = {"min": 1, "max": None}, {"quantile": 0.5, "min": 1, "max": None}
    asked = {"languages": ["pt"], "distinct": {"title": title}, "response_chars": [quantile]}
    write_recipe(cleaned, **{f"expectations__{key}": value for key, value in asked.items()})
    run_validate(cleaned)
    named = {outcome["key"] for name, outcome in outcomes(cleaned).items() if name != "success"} - {None}
    keys = {f"expectations.{key}" for key in expectations.Expectations.model_fields}
    assert named == keys - {"expectations.languages", "expectations.distinct"} | {"expectations.distinct.title"}


def test_one_row_is_asked_like_many(cleaned):
    path = cleaned / "data/clean.parquet"
    row = pl.read_parquet(path).head(1)
    long = row.with_columns(response=pl.lit("O produto é uma caneca azul de louça, com uma asa e duas flores."))
    for table, language, found in ((long, "pt", "0 of 1 rows offend"), (row, "en", "0 of 0 rows offend")):
        table.write_parquet(path)
        write_recipe(cleaned, expectations__languages=[language])
        run_validate(cleaned)
        assert outcomes(cleaned)["response_language"]["observed"] == found
        assert outcomes(cleaned)["response_present"]["observed"] == "0 of 1 rows offend"
    long.write_parquet(path)
    with pytest.raises(Problem, match="expectation response_language"):
        run_validate(cleaned)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1_000_001, "1000001"), (2_250_000.0, "2250000"), (0.047619047, "0.047619"), (float("nan"), "not a number")],
)
def test_a_count_is_shown_in_full(value, shown):
    assert expectations._short(value) == shown


def test_responses_in_another_language_are_named_and_short_ones_are_not_asked(cleaned):
    path = cleaned / "data/clean.parquet"
    rows = pl.read_parquet(path)
    english = pl.lit("This cup is made of glass and holds a quarter of a litre of water.")
    texts = pl.when(pl.col("row_id").is_in([4, 60])).then(english).otherwise("response")
    short = pl.when(pl.col("row_id") <= 2).then(pl.lit("Very short")).otherwise(texts)
    longer = (
        pl.when(pl.col("row_id") > 150)
        .then(pl.concat_str("response", pl.lit(" Ele é feito de madeira.")))
        .otherwise(short)
    )
    rows.with_columns(longer.alias("response")).write_parquet(path)
    write_recipe(cleaned, expectations__languages=["pt"], expectations__min_share_in_languages=0.99)
    with pytest.raises(Problem, match="expectation response_language"):
        run_validate(cleaned)
    assert outcomes(cleaned)["response_language"] == {
        "name": "response_language",
        "key": "expectations.min_share_in_languages",
        "ok": False,
        "observed": "2 of 52 rows offend",
        "wanted": "column response language, mostly 0.99, value_set ['pt']",
        "rows": [4, 60],
    }
    write_recipe(cleaned, expectations__languages=["pt", "en"], expectations__min_share_in_languages=1.0)
    run_validate(cleaned)


def test_of_very_many_rows_the_language_of_some_is_asked_the_same_ones_each_time(monkeypatch):
    from stages.lib import expectations

    monkeypatch.setattr(expectations, "LANGUAGE_ROWS", 30)
    texts = [f"O produto número {n} é feito de madeira e tem {n} partes." for n in range(100)]
    clean = pl.DataFrame({"row_id": range(1, 101), "response": texts}).lazy()
    facts = expectations.facts_of(clean, ["response"])
    found = expectations.with_languages(facts, clean)
    assert found["row_id"].equals(facts["row_id"])
    assert found["response language"].count() == 30
    assert found.equals(expectations.with_languages(facts, clean))
