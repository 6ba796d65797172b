"""The rules that look at more than one text: languages, near-duplicates, and what the quarantine says of them."""

from pathlib import Path

import pytest
from source_tables import ROOT, json_lines, run_clean, run_split, write_recipe

from stages.lib import records
from stages.lib.source import RESERVED
from stages.plumbing.problem import Problem

NEAR = {"clean__near_duplicates": 0.8}
SAID = "Uma caneca azul de louça com alça larga, boa para o café da manhã e para o chá da tarde"
OTHER = "Mesa de madeira clara com quatro cadeiras iguais, para a cozinha ou para a varanda da casa."


def row(content: str, title: str = "caneca") -> dict[str, str]:
    return {"title": title, "content": content}


def quarantined(got) -> list[tuple]:
    return list(got.quarantine.select("row_id", "reason", "row_kept").iter_rows())


@pytest.fixture
def clean(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(rows, **changes):
        write_recipe(tmp_path, **changes)
        (tmp_path / "rows.jsonl").write_bytes(json_lines(rows))
        return run_clean(tmp_path, Path("rows.jsonl"))

    return run


def test_the_first_of_near_duplicates_is_kept_and_the_others_are_counted_as_duplicates(clean):
    rows = [row(f"{SAID}."), row(OTHER), row(f"{SAID} também."), row(f"<b>{SAID}</b> também."), row(OTHER)]
    got = clean(rows, **NEAR)
    assert got.rows["row_id"].to_list() == [1, 2]
    # Row 4 equals row 3, which is not kept: row 1 stands for both.
    assert quarantined(got) == [(3, "near_duplicate", 1), (4, "duplicate", 1), (5, "duplicate", 2)]
    assert [got.report[name] for name in ("read", "kept", "duplicates", "quarantined")] == [5, 2, 3, 0]
    assert got.report["near_duplicates"] == {"rows": 1, "largest": 2, "not_compared": 0}
    assert got.report["changed"]["tags"] == 1  # counted once, though the rows are read twice
    assert '"<b>Uma caneca' in got.quarantine["raw"][1]


@pytest.mark.parametrize("name", ["reason", "raw", "text", "hash", "chars", "side", "index"])
def test_a_field_may_have_any_name_that_no_table_of_the_pipeline_needs(clean, name):
    rows = [row(f"{SAID}."), row(f"{SAID} também."), row(OTHER), row("")]
    prompt = {"prompt__template": "custom", "prompt__text": f"{{{name}}}", "split__group": None}
    got = clean(rows, source__columns={"inputs": {name: "title"}, "response": "content"}, **prompt, **NEAR)
    assert got.rows.select(name, "response").rows() == [("caneca", f"{SAID}."), ("caneca", OTHER)]
    assert quarantined(got) == [(2, "near_duplicate", 1), (4, "empty_response", None)]


@pytest.mark.parametrize("name", RESERVED)
def test_a_name_that_the_tables_use_is_refused_before_anything_is_done(clean, name):
    with pytest.raises(
        Problem, match=r"source\.columns(.|\n)*a field name other than .*, which the tables use themselves"
    ):
        clean([row(SAID)], source__columns={"inputs": {name: "title"}, "response": "content"})


def test_without_the_rule_near_duplicates_stay(clean):
    got = clean([row(f"{SAID}."), row(f"{SAID} também.")])
    assert got.rows.height == 2
    assert got.report["near_duplicates"]["rows"] == 0


def test_near_duplicates_are_found_across_the_blocks_of_a_long_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(records, "ROWS_PER_BLOCK", 40)
    write_recipe(tmp_path, clean__near_duplicates=0.9)
    parts = [f"mesa {n},{OTHER.replace(',', '')} Lote {n * n} peça {n * 7} de {n}" for n in range(300)]
    said = SAID.replace(",", "")
    lines = ["title,content", f"caneca,{said}", *parts, f"caneca,{said} também"]
    (tmp_path / "rows.csv").write_text("\n".join(lines), "utf-8")
    got = run_clean(tmp_path, Path("rows.csv"))
    assert quarantined(got) == [(302, "near_duplicate", 1)]


@pytest.mark.parametrize("white_space", [True, False])
def test_white_space_at_an_end_hides_no_reason(clean, white_space):
    rows = [row("Descrição não disponível\r\n"), row(f"\n{SAID}\n", title=SAID), row(" \n"), row(SAID)]
    got = clean(rows, **{"clean__rules.white_space": white_space})
    assert [reason for _, reason, _ in quarantined(got)] == ["stub", "same_as_input", "empty_response"]
    assert got.rows.height == 1


def test_a_response_in_another_language_is_set_aside(clean):
    english = "A blue china mug with a wide handle, good for coffee in the morning and for tea."
    got = clean([row(SAID), row(english), row("Blue mug")], clean__languages=["pt"])
    assert quarantined(got) == [(2, "other_language", None)]
    assert got.report["reasons"] == {"other_language": 1}
    assert clean([row(SAID), row(english)], clean__languages=["pt", "en"]).rows.height == 2


def test_the_ledger_of_the_workbook_tells_rows_cards_and_mean_length(tmp_path, monkeypatch):
    """R2 and R3: the sample has the shape of the reference, 462 rows of 22 cards, dealt 392 + 70."""
    monkeypatch.chdir(tmp_path)
    inputs = {name: name for name in ("carta", "evento", "secao", "tema")}
    write_recipe(
        tmp_path,
        source__columns={"inputs": inputs, "response": "texto"},
        prompt__template="tarot",
        split__method="exact",
        split__stratify="carta",
        split__group=None,
        split__near_duplicates=None,
        split__test=0,
        split__validation=0.15,
        split__evaluate_on="validation",
    )
    got = run_clean(tmp_path, ROOT / "data/samples/tarot.xlsx")
    assert (got.report["read"], got.report["kept"]) == (462, 462)
    assert got.report["distinct"]["carta"] == 22
    assert got.report["mean_chars"]["response"] == 157.090909
    dealt = run_split(tmp_path)
    assert dealt.report["rows"] == {"train": 392, "validation": 70, "test": 0}
    of_card = dealt.validation["carta"].value_counts()["count"]
    assert (of_card.len(), of_card.min(), of_card.max()) == (22, 3, 4)
