"""The README says what is: its tables match dvc.yaml, and the commands it shows exist and parse."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from dvc.cli import parse_args

from tests.dag.test_reruns import BY_SECTION

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]


def commands() -> list[str]:
    """The lines of all shell blocks of the README, without comments."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    return [line.split("  #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


def test_the_table_of_stages_is_what_dvc_yaml_says():
    table = README.split("<!-- stages: begin")[1].split("<!-- stages: end")[0]
    rows = dict(re.findall(r"^\| (\w+) \| (.+) \|$", table, re.MULTILINE))
    assert list(rows) == list(STAGES)
    for name, told in rows.items():
        assert f"{name.capitalize()}: {told}" == STAGES[name]["desc"]


def test_the_table_of_reruns_names_the_stages_that_the_pipeline_reruns():
    table = README.split("## What reruns")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", table, re.MULTILINE)
    told = {
        section: [name for name in STAGES if re.search(rf"\b{name}\b", what)]
        for left, what in rows
        for section in re.findall(r"`(\w+)`", left)
        if section in BY_SECTION and "as far as bytes" not in what and "its bytes reach" not in what
    }
    assert set(told) == set(BY_SECTION) - {"source", "clean", "shard", "augmentation"}
    for section, stages in told.items():
        at_once, later = BY_SECTION[section]
        expected = at_once if section == "expectations" else at_once + later
        assert stages == [name for name in STAGES if name in expected], section


@pytest.mark.parametrize("command", [line for line in commands() if line.startswith("dvc ")])
def test_a_dvc_command_of_the_readme_parses(command):
    parse_args(shlex.split(command)[1:])


def test_the_other_commands_of_the_readme_exist():
    from afina.__main__ import cli

    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    known = {command.callback.__name__ for command in cli.registered_commands}
    seen = 0
    for line in commands():
        words = shlex.split(line)
        if words[0] == "make":
            assert words[1] in targets
        elif words[0] == "afina":
            assert words[1] in known
        elif words[0] != "dvc":
            pytest.fail(f"unexpected command: {line}")
        seen += 1
    assert seen > 10


def test_every_file_that_the_readme_links_to_exists():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(links) >= 2
    for link in links:
        assert (ROOT / link).exists(), link
