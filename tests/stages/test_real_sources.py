"""Rows written by none of us go through, and the ledger adds up to the last one (issue 3, acceptance 6)."""

import gzip
import re
import subprocess
import sys

import pytest
from source_tables import REAL, ROOT, run_clean, run_split, write_recipe

# file -> columns of its inputs, its response, rows: read, kept, duplicates, quarantined
SOURCES = {
    "products_en/trn_sample.json": (["title"], "content", 3291, 3288, 3, 0),
    "products_html/title_content.jsonl": (["title"], "content", 2038, 2038, 0, 0),
    "products_ports/mports.jsonl.gz": (["title"], "content", 9404, 8792, 404, 208),
    "tarot_pt/db_waite_pt.xlsx": (["evento", "carta", "tema", "secao"], "texto", 231, 231, 0, 0),
    "tarot_en/rows.jsonl": (["card", "theme"], "text", 1079, 1079, 0, 0),
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data is not here")
def test_real_rows_go_through_and_the_ledger_adds_up(name, tmp_path, monkeypatch):
    inputs, response, *ledger = SOURCES[name]
    monkeypatch.chdir(tmp_path)
    write_recipe(
        tmp_path,
        source__columns={"inputs": {column: column for column in inputs}, "response": response},
        prompt__template="custom",
        prompt__text=f"{{{inputs[0]}}}",
        split__group=inputs,
    )
    got = run_clean(tmp_path, REAL / name)
    assert [got.report[key] for key in ("read", "kept", "duplicates", "quarantined")] == ledger
    assert got.report["read"] == got.report["kept"] + got.report["duplicates"] + got.report["quarantined"]
    texts = got.rows.select(*inputs, "response")
    assert not any(column.str.contains(r"<br\b|&nbsp;|&amp;|\s\s|\x{fffd}|\n").any() for column in texts)
    report = run_split(tmp_path).report
    assert report["leakage"]["pairs"] == 0
    assert sum(report["rows"].values()) + sum(report["left_out"].values()) == got.report["kept"]


@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data is not here")
def test_there_are_five_real_sources():
    assert sum((REAL / name).is_file() for name in SOURCES) == 5
    with gzip.open(REAL / "products_ports/mports.jsonl.gz") as file:
        assert sum(1 for _ in file) == 9404


def test_the_table_in_the_documentation_says_the_same():
    pages = (ROOT / "docs/data.md").read_text("utf-8")
    shown = {}
    for name, *numbers in re.findall(r"^\| `(\S+)` \| open \|" + r" ([\d,]+) \|" * 4, pages, re.MULTILINE):
        shown[name] = [int(number.replace(",", "")) for number in numbers]
    assert shown == {name: ledger for name, (_, _, *ledger) in SOURCES.items()}


def test_the_command_of_the_table_says_when_the_data_is_not_here(tmp_path):
    words = [sys.executable, str(ROOT / "bench/shared_data.py"), "--data", str(tmp_path / "nowhere")]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    assert "is not here" in done.stdout
