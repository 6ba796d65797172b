"""The contract of clean rows is held as pandera holds it, without the half of pandera that nobody here needs."""

import importlib.util
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest

from stages.lib.contract import _without, clean_rows, hold
from stages.plumbing.problem import Problem

GOOD = {"row_id": [1, 2], "line": [1, 2], "title": ["copo", "mesa"], "response": ["um copo", "uma mesa"]}


@pytest.mark.parametrize(
    "broken",
    [
        {"row_id": [1, 1]},
        {"row_id": [0, 1]},
        {"line": [0, 1]},
        {"title": ["copo", ""]},
        {"response": ["um copo", None]},
    ],
)
def test_a_row_that_breaks_the_contract_is_told(broken):
    with pytest.raises(Problem, match=f"{next(iter(broken))} fails"):
        hold(pl.DataFrame(GOOD | broken), clean_rows(["title"]))


def test_columns_are_all_there_in_their_order_and_no_others():
    model = clean_rows(["title"])
    hold(pl.DataFrame(GOOD), model)
    for columns in (["line", "row_id", "title", "response"], ["row_id", "line", "response"]):
        with pytest.raises(Problem):
            hold(pl.DataFrame(GOOD).select(columns), model)


def test_to_hold_it_takes_neither_pandas_nor_hypothesis():
    code = f"""
import sys
import polars as pl
from stages.lib.contract import _without, clean_rows, hold
from stages.plumbing.problem import Problem
model = clean_rows(["title"])
hold(pl.DataFrame({GOOD!r}), model)
try:
    hold(pl.DataFrame({GOOD | {"title": ["copo", ""]}!r}), model)
except Problem as problem:
    print(problem.found)
print([name for name in ("pandas", "hypothesis") if name in sys.modules])
import pandas
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    told, loaded = done.stdout.splitlines()
    assert told.startswith("title fails")
    assert loaded == "[]"


def test_imports_of_other_threads_find_everything_meanwhile(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)  # what is loaded is found without a search
    before = sys.meta_path
    with _without("colorsys"):
        with ThreadPoolExecutor(1) as other:
            assert other.submit(importlib.util.find_spec, "colorsys").result()
        with pytest.raises(ModuleNotFoundError, match="No module named 'colorsys'"):
            importlib.util.find_spec("colorsys")
        assert before == sys.meta_path[1:], "a list that another thread goes through is left as it is"
    assert before == sys.meta_path
