"""What reruns when something changes: the table of the README, row by row, asked of DVC itself."""

import os
import shutil
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from tests.conftest import copy_project

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]

# section → (stages that read it, and so are stale at once; stages that rerun if everything upstream gives other bytes)
ON_BASELINE = ["baseline", "train", "predict", "eval", "merge"]
BY_SECTION = {
    "source": (["fetch", "clean"], ["validate", "shard", "split", *ON_BASELINE]),
    "clean": (["clean"], ["validate", "shard", "split", *ON_BASELINE]),
    "expectations": (["validate"], ["shard", "split", *ON_BASELINE]),
    "shard": (["shard"], ["split", *ON_BASELINE]),
    "split": (["split"], ON_BASELINE),
    "augmentation": (["split"], ON_BASELINE),
    "prompt": (["baseline", "train", "predict", "merge"], ["eval"]),
    "model": (["base", "baseline", "train", "predict", "merge"], ["eval"]),
    "quantization": (["baseline", "train", "predict", "merge"], ["eval"]),
    "adapter": (["train"], ["predict", "eval", "merge"]),
    "lora": (["train"], ["predict", "eval", "merge"]),
    "train": (["train"], ["predict", "eval", "merge"]),
    "tuned": (["predict", "merge"], ["eval"]),
    "generation": (["baseline", "predict", "merge"], ["eval"]),
    "metrics": (["eval"], ["merge"]),
    "gate": (["eval"], ["merge"]),
    "report": (["eval"], ["merge"]),
    "merge": (["merge"], []),
}


def names(entries: list) -> list[str]:
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which every stage counts as run: its outputs are stand-ins, recorded by `dvc commit`."""
    target = copy_project(tmp_path_factory.mktemp("reruns") / "project")
    shutil.rmtree(target / "reports", ignore_errors=True)
    folders = {"data/raw", "data/shards", "models/base", "models/adapter", "models/merged", "reports/data_docs",
               "reports/plots"}  # fmt: skip
    params = yaml.safe_load((target / "params.yaml").read_text("utf-8"))
    for stage in STAGES.values():
        for out in names(stage.get("outs", []) + stage.get("metrics", []) + stage.get("plots", [])):
            path = target / out / "part" if out in folders else target / out
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{out}\n", "utf-8")
    assert params["split"]["evaluate_on"] == "test"
    here = Path.cwd()
    os.chdir(target)
    try:
        with Repo(str(target)) as repo:
            repo.commit(force=True)
            assert repo.status() == {}
    finally:
        os.chdir(here)
    return target


def stale(project: Path) -> list[str]:
    """The stages that DVC finds changed, in the order of dvc.yaml."""
    here = Path.cwd()
    os.chdir(project)
    try:
        with Repo(str(project)) as repo:
            found = repo.status()
    finally:
        os.chdir(here)
    return [name for name in STAGES if name in found]


def downstream(project: Path, changed: list[str]) -> list[str]:
    """The stages that depend on what the changed ones write, however remotely."""
    makers = {
        out: name
        for name, stage in STAGES.items()
        for out in names(stage.get("outs", []) + stage.get("metrics", []) + stage.get("plots", []))
    }
    reached = set(changed)
    for name, stage in STAGES.items():  # in topological order
        deps = {
            makers.get(dep.replace("${split.evaluate_on}", "test").replace("${tuned.adapter}", "models/adapter"))
            for dep in names(stage["deps"])
        }
        if deps & reached:
            reached.add(name)
    return [name for name in STAGES if name in reached and name not in changed]


def mutated(value: object) -> object:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    if isinstance(value, dict):
        first = next(iter(value))
        return {**value, first: mutated(value[first])}
    if isinstance(value, list):
        return [*value, "more"]
    return f"{value}x"


def first_of(section: dict) -> str:
    """A key of a section that dvc.yaml does not build paths from."""
    return next(key for key in section if key not in {"path", "evaluate_on"})


def test_every_section_is_in_the_table():
    params = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    assert set(BY_SECTION) == set(params)


@pytest.mark.parametrize("section", BY_SECTION)
def test_a_changed_section_makes_exactly_its_readers_stale(project, section):
    file = project / "params.yaml"
    before = file.read_text("utf-8")
    params = yaml.safe_load(before)
    key = first_of(params[section])
    params[section][key] = mutated(params[section][key])
    file.write_text(yaml.safe_dump(params, allow_unicode=True), "utf-8")
    try:
        found = stale(project)
        at_once, later = BY_SECTION[section]
        assert found == [name for name in STAGES if name in at_once]
        assert downstream(project, found) == [name for name in STAGES if name in later]
    finally:
        file.write_text(before, "utf-8")


def code_files() -> list[str]:
    return sorted({dep for stage in STAGES.values() for dep in names(stage["deps"]) if dep.startswith("stages/")})


def test_changed_code_makes_exactly_the_stages_stale_that_name_it(project):
    files = code_files()
    assert len(files) > 25
    for name in files:
        file = project / name
        before = file.read_bytes()
        file.write_bytes(before + b"\n")
        wanted = [stage for stage, told in STAGES.items() if name in names(told["deps"])]
        assert stale(project) == wanted, name
        file.write_bytes(before)
    assert stale(project) == []


@pytest.mark.parametrize(
    "name", ["stages/plumbing/console.py", "stages/plumbing/params.py", "afina/__main__.py", "README.md", "Makefile"]
)
def test_what_only_carries_or_explains_makes_nothing_stale(project, name):
    file = project / name
    before = file.read_bytes()
    file.write_bytes(before + b"\n")
    assert stale(project) == []
    file.write_bytes(before)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("data/samples/products.jsonl", ["fetch"]),
        ("data/samples/corpus.txt", ["base"]),
    ],
)
def test_a_changed_source_makes_its_stage_stale(project, name, wanted):
    file = project / name
    before = file.read_bytes()
    file.write_bytes(before + b"\n")
    assert stale(project) == wanted
    file.write_bytes(before)
