"""Sweeps: all folds of one configuration, or its seeds, and nothing else, make its mean and standard deviation."""

import json
import subprocess
from pathlib import Path

import pytest

from afina.sweeps import FOLD, Run, grouped, missing, summary, told_apart
from stages.plumbing.problem import Problem
from tests.afina.test_commands import afina

STAGE = """
import json, pathlib, yaml
params = yaml.safe_load(open("params.yaml"))
base = [0.1, 0.2, 0.6][params["split"]["fold"]]
tuned = base + params["lora"]["r"] / 100 + params["train"]["seed"] / 10
pathlib.Path("reports").mkdir(exist_ok=True)
metrics = {"baseline": {"rougeL": base}, "tuned": {"rougeL": tuned}, "delta": {"rougeL": tuned - base}}
json.dump(metrics, open("reports/metrics.json", "w"))
"""
DAG = """
stages:
  eval:
    cmd: python stages/score.py
    deps: [stages/score.py]
    params: [split, lora, train]
    metrics:
      - reports/metrics.json:
          cache: false
"""


PARAMS = """
split:
  folds: null
  fold: 0
lora:
  r: 16
train:
  seed: 1
"""


def run(name: str, fold: int, baseline: float = 0.0, code: str = "c", r: int = 8, folds: int | None = 3) -> Run:
    params = {"split.fold": fold, "split.folds": folds, "lora.r": r}
    metrics = {system: {"rougeL": baseline} for system in ("baseline", "tuned", "delta")}
    return Run(name, params, metrics, {"stages/eval.py": code})


def test_the_summary_is_the_mean_and_the_deviation_over_n_minus_1():
    (group,) = grouped([run("c", 2, 0.6), run("a", 0, 0.1), run("b", 1, 0.2)], FOLD)
    found = summary(group, {}, FOLD)["metrics"]["rougeL"]["baseline"]
    assert found == {"mean": 0.3, "sd": 0.264575, "values": [0.1, 0.2, 0.6], "folds": 3}


def test_configurations_are_told_apart_by_what_differs():
    groups = grouped([run(f"{r}-{fold}", fold, r=r) for r in (8, 16) for fold in range(3)], FOLD)
    assert told_apart(groups, FOLD) == [{"lora.r": 16}, {"lora.r": 8}]
    assert [len(group) for group in groups] == [3, 3]


def test_a_missing_fold_is_named_and_a_run_without_folds_is_none():
    (group,) = grouped([run("a", 0), run("c", 2), run("plain", 0, folds=None)], FOLD)
    assert missing(group, FOLD) == [1]


def test_two_results_for_one_fold_are_told():
    with pytest.raises(Problem, match=r"the same parameters and split\.fold 0, and other metrics"):
        grouped([run("a", 0, 0.1), run("b", 0, 0.2)], FOLD)
    assert [len(group) for group in grouped([run("a", 0, 0.1), run("b", 0, 0.1)], FOLD)] == [1]


def test_folds_of_other_code_are_not_mixed():
    with pytest.raises(Problem, match=r"another stages/eval\.py"):
        grouped([run("a", 0), run("b", 1, code="d")], FOLD)


def shell(project: Path, *words: str) -> None:
    done = subprocess.run(words, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/score.py").write_text(STAGE)
    (tmp_path / "dvc.yaml").write_text(DAG)
    (tmp_path / "params.yaml").write_text(PARAMS)
    for command in ("git init -q", "git config user.name T", "git config user.email t@e.org", "dvc init -q",
                    "git add -A", "git commit -qm One"):  # fmt: skip
        shell(tmp_path, *command.split())
    return tmp_path


def test_the_chance_of_training_is_told_with_the_seed_of_the_commit_among_the_others(project):
    nothing = afina("seeds", cwd=project)
    assert nothing.returncode == 1
    assert "no two that differ in train.seed alone" in nothing.stderr

    for command in ("dvc repro -q", "git add -A", "git commit -qm Two"):
        shell(project, *command.split())
    for change in (["train.seed=2"], ["train.seed=3"], ["lora.r=8", "train.seed=4"]):
        shell(project, "dvc", "exp", "run", "-q", *(word for one in change for word in ("-S", one)))
    said = afina("seeds", "--json", cwd=project)
    (found,) = json.loads(said.stdout)["configurations"]
    assert found["seeds"] == 3
    assert found["metrics"]["rougeL"]["tuned"]["values"] == pytest.approx([0.36, 0.46, 0.56])
    assert "chance in training: 3 seeds" in afina("seeds", cwd=project).stdout


def test_a_sweep_of_a_real_project_is_summarised(project):
    nothing = afina("folds", cwd=project)
    assert nothing.returncode == 1
    assert "no finished experiment with split.folds" in nothing.stderr

    shell(project, "dvc", "exp", "run", "-q", "--queue", "-S", "split.folds=3", "-S", "split.fold=range(0,3)")
    shell(project, "dvc", "exp", "run", "-q", "--queue", "-S", "split.folds=3", "-S", "lora.r=8")
    shell(project, "dvc", "exp", "run", "-q", "--run-all")
    said = afina("folds", "--json", cwd=project)
    (found,) = json.loads(said.stdout)["configurations"]
    assert found["configuration"] == {"lora.r": 16}
    assert found["metrics"]["rougeL"]["baseline"]["values"] == [0.1, 0.2, 0.6]
    assert found["metrics"]["rougeL"]["baseline"]["sd"] == 0.264575
    assert found["metrics"]["rougeL"]["tuned"]["mean"] == 0.56
    # The other configuration has one fold of three: told, after what is whole.
    assert said.returncode == 1
    assert "lora.r=8" in said.stderr
    assert "1, 2 are not there" in said.stderr

    shell(project, "git", "commit", "-q", "--allow-empty", "-m", "Two")
    later = afina("folds", "--rev", "HEAD~1", cwd=project)
    assert "lora.r=16: 3 folds" in later.stdout
    assert "0.3 ± 0.26" in later.stdout
    assert afina("folds", "--rev", "nowhere", cwd=project).returncode == 1
    assert "Traceback" not in later.stderr + said.stderr
