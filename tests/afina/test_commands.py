"""Afina's commands: what they do, and what they say when they cannot."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from afina.doctor import _pin
from afina.recipes import choose, listed
from stages.plumbing.problem import Problem

ROOT = Path(__file__).parents[2]


def afina(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "afina", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env={**_environment()})


def _environment() -> dict[str, str]:
    import os

    return os.environ | {"PYTHONPATH": str(ROOT)}


def test_every_recipe_is_listed_with_what_it_does():
    lines = listed(ROOT / "recipes")
    assert len(lines) == len(list((ROOT / "recipes").glob("*.yaml"))) >= 1
    assert lines[[line.split()[0] for line in lines].index("local")].split(maxsplit=1)[1].startswith("Afina recipe")


def test_choosing_a_recipe_copies_it(tmp_path):
    choose("local", ROOT / "recipes", tmp_path / "params.yaml", force=False)
    assert (tmp_path / "params.yaml").read_bytes() == (ROOT / "recipes/local.yaml").read_bytes()


def test_choices_made_by_hand_are_not_lost(tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text("mine: 1\n")
    with pytest.raises(Problem, match="choices that are in no recipe"):
        choose("local", ROOT / "recipes", params, force=False)
    assert params.read_text() == "mine: 1\n"
    choose("local", ROOT / "recipes", params, force=True)


def test_an_unknown_recipe_is_told_with_those_there_are():
    said = afina("recipe", "tarto")
    assert said.returncode == 1
    assert "no recipe tarto" in said.stderr
    assert "local" in said.stderr
    assert "Traceback" not in said.stderr


def test_without_a_model_it_says_where_to_get_one(tmp_path):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    said = afina("generate", "Abajur", cwd=tmp_path)
    assert said.returncode == 1
    assert "dvc pull base" in said.stderr
    assert "Traceback" not in said.stderr


def test_a_missing_field_is_named(tmp_path):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    said = afina("generate", "--field", "titulo=Abajur", cwd=tmp_path)
    assert said.returncode == 1
    assert "name=value for each of title" in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize(("key", "old"), [("source.path", "products.jsonl"), ("model.path", "corpus.txt")])
def test_a_missing_input_is_told_before_anything_starts(tmp_path, key, old):
    text = (ROOT / "params.yaml").read_text("utf-8")
    (tmp_path / "data").symlink_to(ROOT / "data")
    (tmp_path / "params.yaml").write_text(text, "utf-8")
    assert afina("check", cwd=tmp_path).returncode == 0
    (tmp_path / "params.yaml").write_text(text.replace(f"data/samples/{old}", f"data/samples/none-{old}"), "utf-8")
    said = afina("check", cwd=tmp_path)
    assert said.returncode == 1
    assert f"{key}: data/samples/none-{old}" in said.stderr
    assert f"or correct {key}" in said.stderr
    assert "Traceback" not in said.stderr


def test_the_doctor_names_what_it_looked_at():
    said = afina("doctor")
    assert "params.yaml is a valid recipe" in said.stdout
    assert "Python 3." in said.stdout
    assert "Traceback" not in said.stderr


def test_the_doctor_says_how_to_pin_a_base_whose_revision_moves(tmp_path):
    hub = {"origin": "hub", "name": "someone/model", "revision": "main"}
    commit = "7bcac572ce56db69c1ea7c8af255c5d7c9672fc2"
    assert "the stage base will say which commit it is" in _pin(tmp_path, hub)[0][1]
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/base.json").write_text(f'{{"name": "someone/model", "commit": "{commit}"}}')
    told = f"  someone/model at main, a name that may move: pin model.revision: {commit}"
    assert _pin(tmp_path, hub) == _pin(tmp_path, hub | {"revision": None}) == [(True, told)]
    assert "the stage base will say" in _pin(tmp_path, hub | {"name": "someone/other"})[0][1]
    assert _pin(tmp_path, hub | {"revision": commit}) == []
    assert _pin(tmp_path, hub | {"origin": "scratch"}) == []
