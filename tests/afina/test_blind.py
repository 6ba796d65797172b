"""afina blind: people judge answers without knowing whose they are, and a sign test says what came of it."""

import csv
import json
import re
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest

from afina.blind import choices, drawn, identity, key_of, make, page, score, table, verdicts
from afina.revisions import Answered, Revision
from stages.plumbing.problem import Problem

HOSTILE = '<script>alert("oi")</script>'
COUNT = 40


def side(name, answer):
    numbers = list(range(1, COUNT + 1))
    asked = pl.DataFrame({"row_id": numbers, "title": [f"Mesa {n}" for n in numbers], "response": ["x"] * COUNT})
    said = pl.DataFrame({"row_id": numbers, "reference": ["x"] * COUNT, "prediction": [answer(n) for n in numbers]})
    return Answered(Revision(name, None), asked, said)


@pytest.fixture
def sides():
    """Two systems whose answers are equal in each tenth row."""
    return (
        side("a", lambda n: "igual" if n % 10 == 0 else f"primeira {n}"),
        side("b", lambda n: " igual " if n % 10 == 0 else HOSTILE if n == 7 else f"=segunda {n}"),
    )


@pytest.fixture
def form(sides, tmp_path, monkeypatch):
    """A form of 20 rows, written as the command writes it."""
    shutil.copy(Path(__file__).parents[2] / "recipes/local.yaml", tmp_path / "params.yaml")
    for words in (["git", "init", "-q"], ["mkdir", ".dvc"]):
        subprocess.run(words, cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("afina.blind.answered", lambda *asked: sides[asked[-1] == "predict"])
    make(Path("form.csv"), [], 20, seed=5)
    return Path("form.csv")


def filled(form, choose, name="answers.csv"):
    """The form as somebody gives it back, with `choose(row_id, text of answer 1)` in each row."""
    with form.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    target = form.with_name(name)
    lines = [f"{row['form']},{row['row_id']},{choose(int(row['row_id']), row['first'])}" for row in rows]
    target.write_text("\n".join(["form,row_id,choice", *lines]) + "\n", "utf-8")
    return target


def result(form, *files, capsys):
    capsys.readouterr()
    score(form, files, machine=True)
    return json.loads(capsys.readouterr().out)


def test_rows_are_drawn_by_seed_and_equal_answers_are_not_asked_about(sides):
    rows, equal = drawn(*sides, 20, seed=1)
    assert (len(rows), equal) == (20, 4)
    assert drawn(*sides, 20, seed=1)[0] == rows
    assert [row.row_id for row in drawn(*sides, 20, seed=2)[0]] != [row.row_id for row in rows]
    every, _ = drawn(*sides, 100, seed=1)
    assert len(every) == 36
    assert 10 <= sum(row.first_is for row in every) <= 26, "neither system has a place of its own"
    for row in every:
        mine = f"primeira {row.row_id}"
        assert (row.second if row.first_is else row.first) == mine


def test_the_form_does_not_say_whose_answer_is_whose(form):
    text = form.read_text("utf-8-sig")
    assert not re.search("baseline|tuned", text)
    key = json.loads(key_of(form).read_text("utf-8"))
    assert key["systems"] == ["baseline", "tuned"]
    assert len(key["first"]) == 20
    assert {row.split(",")[0] for row in text.splitlines()[1:]} == {key["form"]}


def test_preferring_one_system_wherever_it_stands_is_found_again(form, capsys):
    answers = filled(form, lambda _, first: 1 if "primeira" not in first else 2)
    found = result(form, answers, capsys=capsys)
    assert (found["wins"], found["ties"], found["unanswered"]) == ([0, 20], 0, 0)
    assert found["share"] == 1.0
    assert found["low"] == pytest.approx(0.025 ** (1 / 20))  # Clopper and Pearson, all of 20
    assert found["p"] == pytest.approx(2 / 2**20)
    score(form, [answers], machine=False)
    assert capsys.readouterr().out.startswith("tuned is preferred.")


def test_always_choosing_the_first_place_is_no_preference(form, capsys):
    answers = filled(form, lambda *_: 1)
    found = result(form, answers, capsys=capsys)
    assert sum(found["wins"]) == 20
    assert found["p"] > 0.05
    score(form, [answers], machine=False)
    assert "No preference that chance could not make." in capsys.readouterr().out


def test_ties_and_rows_not_judged_are_counted_and_decide_nothing(form, capsys):
    answers = filled(form, lambda row_id, _: 0 if row_id % 2 else "")
    found = result(form, answers, capsys=capsys)
    assert (found["wins"], found["p"], found["share"]) == ([0, 0], 1.0, None)
    assert found["ties"] + found["unanswered"] == 20
    assert found["equal_answers"] == 4


def test_of_several_people_the_majority_of_each_row_counts():
    people = [{"1": 1, "2": 1, "3": -1, "4": 0}, {"1": 1, "2": -1, "3": -1}, {"1": -1, "3": -1}]
    found = verdicts(people, ["1", "2", "3", "4", "5"], 0.95)
    assert (found["wins"], found["ties"], found["unanswered"], found["people"]) == ([1, 1], 2, 1, 3)
    assert found["agreement"] == pytest.approx(1 / 3)  # of rows 1, 2 and 3, which several judged, on 3 alone


def test_the_sign_test_by_hand():
    found = verdicts([{str(n): 1 if n < 8 else -1 for n in range(10)}], map(str, range(10)), 0.95)
    # 8 of 10 or more extreme, both tails: 2 × (45 + 10 + 1) / 1024.
    assert found["p"] == pytest.approx(112 / 1024)
    assert (found["low"], found["high"]) == (pytest.approx(0.4439, abs=1e-4), pytest.approx(0.9748, abs=1e-4))


def test_a_spreadsheet_gives_the_form_back_in_its_own_way(form, capsys):
    text = form.read_text("utf-8-sig")
    assert "'=segunda" in text, "a spreadsheet must not take an answer for a formula"
    key = json.loads(key_of(form).read_text("utf-8"))
    back = Path("back.csv")
    back.write_text("\ufeffform;row_id;choice\r\n" + f"{key['form']};{next(iter(key['first']))};0\r\n", "utf-8")
    assert list(choices(back, key).values()) == [0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n1,2\n", "form, row_id and choice"),
        ("form,row_id,choice\nother,1,1\n", "score it with its own form"),
        ("form,row_id,choice\nF,R,3\n", "1, 2 or 0"),
        ("form,row_id,choice\nF,R,1\nF,R,2\n", "a second time"),
        ("form,row_id,choice\nF,9999,1\n", "which the form does not have"),
    ],
)
def test_a_form_that_was_filled_in_wrongly_is_told_with_its_line(form, text, told):
    key = json.loads(key_of(form).read_text("utf-8"))
    path = Path("wrong.csv")
    path.write_text(text.replace("F,", f"{key['form']},").replace("R,", f"{next(iter(key['first']))},"), "utf-8")
    with pytest.raises(Problem, match=told):
        choices(path, key)


def test_a_form_is_never_overwritten_nor_scored_without_its_key(form):
    with pytest.raises(Problem, match="there already"):
        make(form, [], 20, seed=6)
    with pytest.raises(Problem, match=r"\.html or \.csv"):
        make(Path("form.txt"), [], 20, seed=6)
    with pytest.raises(Problem, match="two at most"):
        make(Path("new.csv"), ["a", "b", "c"], 20, seed=6)
    with pytest.raises(Problem, match="the key that was written"):
        score(Path("other.csv"), [Path("x.csv")], machine=False)


def test_the_page_holds_hostile_text_as_text_and_asks_nothing_of_a_network(sides):
    rows, _ = drawn(*sides, 40, seed=1)
    text = page(rows, identity(rows), "pt")
    assert text.count("<script>") == 1
    assert "&lt;script&gt;alert" in text
    assert text.count('type="radio"') == 3 * len(rows)
    assert not re.search(r"https?://", text)
    assert "Qual resposta é melhor?" in text
    assert table(rows, "f", "pt").startswith("form;row_id;")


def test_the_page_saves_what_was_chosen(sides, tmp_path):
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium on PATH")
    rows, _ = drawn(*sides, 3, seed=1)
    text = page(rows, "f00", "en")
    probe = """<script>
      HTMLAnchorElement.prototype.click = () => {};  // no download in a test
      const tell = told => { document.title = JSON.stringify(told); };
      URL.createObjectURL = blob => { blob.text().then(tell); return "#"; };
      document.querySelectorAll("input")[1].click();
      document.getElementById("save").click();
    </script></body>"""
    path = tmp_path / "form.html"
    path.write_text(text.replace("</body>", probe), "utf-8")
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
    done = subprocess.run(
        [browser, *flags.split(), "--virtual-time-budget=3000", f"--user-data-dir={tmp_path / 'p'}", "--dump-dom",
         path.as_uri()],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    saved = json.loads(re.search(r"<title>(.*?)</title>", done.stdout).group(1))
    first, *others = (row.row_id for row in rows)
    assert saved.splitlines() == ["form,row_id,choice", f"f00,{first},2", *(f"f00,{other}," for other in others)]
    assert re.search(r'<span id="count">1</span> / 3', done.stdout)
