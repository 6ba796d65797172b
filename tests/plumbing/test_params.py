"""params.yaml is checked as a whole before a stage does anything, and a mistake is told so that it can be put right."""

import re
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from stages.lib.lora import Lora
from stages.plumbing.params import Sections, check, load
from stages.plumbing.problem import Problem
from stages.plumbing.recipe import Recipe

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


class OnlyLora(Sections):
    lora: Lora


def changed(tmp_path: Path, **sections: dict) -> Path:
    params = yaml.safe_load((ROOT / "recipes/local.yaml").read_text("utf-8"))
    for name, keys in sections.items():
        params[name] |= keys
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(params, allow_unicode=True), "utf-8")
    return path


def told(path: Path) -> Problem:
    with pytest.raises(Problem) as error:
        OnlyLora.read(path)
    return error.value


def keys(content: object, before: str = "") -> set[str]:
    """The dotted names of all keys of a recipe; those that are free to choose (columns, fields) count as one."""
    if not isinstance(content, dict) or before in {"source.columns.inputs", "expectations.distinct"}:
        return {before}
    return {name for key, value in content.items() for name in keys(value, f"{before}.{key}".lstrip("."))}


def test_every_recipe_is_valid_and_has_the_same_keys():
    assert len(RECIPES) >= 1
    names = keys(yaml.safe_load((ROOT / "recipes/local.yaml").read_text("utf-8")))
    assert len(names) > 80
    for path in RECIPES:
        check(Recipe, load(path), path)
        assert keys(load(path)) == names, path.name


def test_every_key_of_a_recipe_has_a_comment_above_it():
    """A pair such as min and max may share one."""
    for path in RECIPES:
        lines = ["", *path.read_text("utf-8").splitlines()]
        commented = False
        for before, line in pairwise(lines):
            if re.match(r"  \w+:", line):
                was, commented = commented, before.strip().startswith("#")
                paired = was and re.match(r"  \w+: \S", before)
                assert commented or paired or line.endswith(":"), f"{path.name}: {line}"


def test_a_mistake_in_another_section_stops_a_stage_that_does_not_read_it(tmp_path):
    problem = told(changed(tmp_path, split={"validation": "many"}))
    assert problem.where.endswith("params.yaml, split.validation")
    assert problem.found == "'many'"


def test_a_key_written_wrong_is_told_with_the_one_that_was_meant(tmp_path):
    path = changed(tmp_path)
    path.write_text(path.read_text("utf-8").replace("  alpha: 32", "  alfa: 32"), "utf-8")
    problem = told(path)
    assert problem.where.endswith("lora.alfa (1 more after this one)")
    assert problem.found == "unknown parameter alfa"
    assert problem.do == "did you mean alpha?"


@pytest.mark.parametrize("key", ["read", "train_rows"])
@pytest.mark.parametrize("value", [0, 0.0, 1.5, -1, "all", [], {}])
def test_what_is_neither_a_number_of_rows_nor_a_share_is_told_in_words(key, value, tmp_path):
    problem = told(changed(tmp_path, split={key: value}))
    assert problem.where.endswith(f"params.yaml, split.{key}")
    assert problem.found == repr(value)
    assert problem.wanted == "a whole number of rows from 1 on, a share above 0 and up to 1.0, or null"


@pytest.mark.parametrize(("value", "held"), [(1, 1), (1.0, 1.0), ("1e-5", 0.00001), (0.5, 0.5), (None, None)])
def test_a_number_of_rows_is_a_whole_number_and_a_share_is_not(value, held, tmp_path):
    path = changed(tmp_path, split={"read": value})
    read = check(Recipe, load(path), path).split.read
    assert (read, type(read)) == (held, type(held))


@pytest.mark.parametrize(
    ("section", "key"), [("split", "read"), ("split", "seed"), ("clean", "near_duplicates"), ("train", "max_steps")]
)
@pytest.mark.parametrize("value", [True, False])
def test_true_and_false_are_no_numbers(section, key, value, tmp_path):
    problem = told(changed(tmp_path, **{section: {key: value}}))
    assert problem.where.endswith(f"params.yaml, {section}.{key}")


@pytest.mark.parametrize("value", [True, "1", 1.0, -1])
def test_shards_are_whole_numbers(value, tmp_path):
    assert told(changed(tmp_path, split={"shards": [0, value]})).where.endswith("params.yaml, split.shards.1")


@pytest.mark.parametrize("value", [2024, 1.5, False, date(2024, 5, 1)])
def test_a_text_that_yaml_does_not_take_for_one_is_to_be_quoted(value, tmp_path):
    problem = told(changed(tmp_path, source={"sheet": value}))
    assert problem.where.endswith("params.yaml, source.sheet")
    assert problem.do == "write it in quotes: without them YAML reads no text"


@pytest.mark.parametrize(
    ("changes", "where", "wanted"),
    [
        ({"distinct": {"title": {"min": 9, "max": 3}}}, "distinct.title", "a max of at least min (9), not 3"),
        (
            {"response_chars": [{"quantile": 0.5, "min": 100, "max": 5}]},
            "response_chars.0",
            "a max of at least min (100), not 5",
        ),
    ],
)
def test_limits_that_nothing_can_meet_are_refused(changes, where, wanted, tmp_path):
    problem = told(changed(tmp_path, expectations=changes))
    assert problem.where.endswith(f"params.yaml, expectations.{where}")
    assert problem.wanted == wanted


def test_limits_may_be_equal_or_open(tmp_path):
    for limits in ({"min": 3, "max": 3}, {"min": 3, "max": None}, {"min": None, "max": 3}):
        path = changed(tmp_path, expectations={"distinct": {"title": limits}})
        check(Recipe, load(path), path)


def test_a_number_written_as_yaml_does_not_know_it_is_a_number(tmp_path):
    path = changed(tmp_path)
    path.write_text(path.read_text("utf-8").replace("learning_rate: 6e-3", "learning_rate: 2e-4"), "utf-8")
    assert load(path)["train"]["learning_rate"] == "2e-4"
    assert check(Recipe, load(path), path).train.learning_rate == 0.0002


def test_a_template_that_asks_for_other_fields_is_refused(tmp_path):
    problem = told(changed(tmp_path, prompt={"template": "tarot"}))
    assert "carta, evento, secao, tema" in problem.wanted


@pytest.mark.parametrize(
    "sections",
    [
        {"prompt": {"template": "custom", "text": "Fale {}"}},
        {"augmentation": {"paraphrases": ["Fale {}"]}},
    ],
)
def test_braces_without_a_name_are_refused_in_a_prompt_and_in_a_paraphrase(sections, tmp_path):
    assert "{}" in told(changed(tmp_path, **sections)).wanted


def test_a_column_named_in_split_must_be_a_field(tmp_path):
    problem = told(changed(tmp_path, split={"group": ["titel"]}))
    assert "split.group, not titel" in problem.wanted


@pytest.mark.parametrize(("text", "says"), [("a: [", "expected node content"), ("- a", "a list"), ("", "nothing")])
def test_a_file_that_is_no_recipe_is_told(tmp_path, text, says):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    assert says in told(path).found


def test_a_missing_file_is_told(tmp_path):
    assert told(tmp_path / "params.yaml").do == "copy one: cp recipes/local.yaml params.yaml"
