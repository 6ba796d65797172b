"""Cross-validation: all folds of one configuration, and nothing else, make its mean and standard deviation."""

import json
import subprocess
from pathlib import Path

import pytest

from afina.folds import Run, grouped, missing, summary, told_apart
from stages.plumbing.problem import Problem
from tests.afina.test_commands import afina

STAGE = """
import json, pathlib, yaml
params = yaml.safe_load(open("params.yaml"))
base = [0.1, 0.2, 0.6][params["split"]["fold"]]
tuned = base + params["lora"]["r"] / 100
pathlib.Path("reports").mkdir(exist_ok=True)
metrics = {"baseline": {"rougeL": base}, "tuned": {"rougeL": tuned}, "delta": {"rougeL": tuned - base}}
json.dump(metrics, open("reports/metrics.json", "w"))
"""
DAG = """
stages:
  eval:
    cmd: python stages/score.py
    deps: [stages/score.py]
    params: [split, lora]
    metrics:
      - reports/metrics.json:
          cache: false
"""


def run(name: str, fold: int, baseline: float = 0.0, code: str = "c", r: int = 8, folds: int | None = 3) -> Run:
    params = {"split.fold": fold, "split.folds": folds, "lora.r": r}
    metrics = {system: {"rougeL": baseline} for system in ("baseline", "tuned", "delta")}
    return Run(name, params, metrics, {"stages/eval.py": code})


def test_the_summary_is_the_mean_and_the_deviation_over_n_minus_1():
    (group,) = grouped([run("c", 2, 0.6), run("a", 0, 0.1), run("b", 1, 0.2)])
    found = summary(group, {})["metrics"]["rougeL"]["baseline"]
    assert found == {"mean": 0.3, "sd": 0.264575, "values": [0.1, 0.2, 0.6], "folds": 3}


def test_configurations_are_told_apart_by_what_differs():
    groups = grouped([run(f"{r}-{fold}", fold, r=r) for r in (8, 16) for fold in range(3)])
    assert told_apart(groups) == [{"lora.r": 16}, {"lora.r": 8}]
    assert [len(group) for group in groups] == [3, 3]


def test_a_missing_fold_is_named_and_a_run_without_folds_is_none():
    (group,) = grouped([run("a", 0), run("c", 2), run("plain", 0, folds=None)])
    assert missing(group) == [1]


def test_two_results_for_one_fold_are_told():
    with pytest.raises(Problem, match="the same parameters and fold 0, and other metrics"):
        grouped([run("a", 0, 0.1), run("b", 0, 0.2)])
    assert [len(group) for group in grouped([run("a", 0, 0.1), run("b", 0, 0.1)])] == [1]


def test_folds_of_other_code_are_not_mixed():
    with pytest.raises(Problem, match=r"another stages/eval\.py"):
        grouped([run("a", 0), run("b", 1, code="d")])


def shell(project: Path, *words: str) -> None:
    done = subprocess.run(words, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_sweep_of_a_real_project_is_summarised(tmp_path):
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/score.py").write_text(STAGE)
    (tmp_path / "dvc.yaml").write_text(DAG)
    (tmp_path / "params.yaml").write_text("split:\n  folds: null\n  fold: 0\nlora:\n  r: 16\n")
    for command in ("git init -q", "git config user.name T", "git config user.email t@e.org", "dvc init -q",
                    "git add -A", "git commit -qm One"):  # fmt: skip
        shell(tmp_path, *command.split())
    nothing = afina("folds", cwd=tmp_path)
    assert nothing.returncode == 1
    assert "no finished experiment with split.folds" in nothing.stderr

    shell(tmp_path, "dvc", "exp", "run", "-q", "--queue", "-S", "split.folds=3", "-S", "split.fold=range(0,3)")
    shell(tmp_path, "dvc", "exp", "run", "-q", "--queue", "-S", "split.folds=3", "-S", "lora.r=8")
    shell(tmp_path, "dvc", "exp", "run", "-q", "--run-all")
    said = afina("folds", "--json", cwd=tmp_path)
    (found,) = json.loads(said.stdout)["configurations"]
    assert found["configuration"] == {"lora.r": 16}
    assert found["metrics"]["rougeL"]["baseline"]["values"] == [0.1, 0.2, 0.6]
    assert found["metrics"]["rougeL"]["baseline"]["sd"] == 0.264575
    assert found["metrics"]["rougeL"]["tuned"]["mean"] == 0.46
    # The other configuration has one fold of three: told, after what is whole.
    assert said.returncode == 1
    assert "lora.r=8" in said.stderr
    assert "1, 2 are not there" in said.stderr

    shell(tmp_path, "git", "commit", "-q", "--allow-empty", "-m", "Two")
    later = afina("folds", "--rev", "HEAD~1", cwd=tmp_path)
    assert "lora.r=16: 3 folds" in later.stdout
    assert "0.3 ± 0.26" in later.stdout
    assert afina("folds", "--rev", "nowhere", cwd=tmp_path).returncode == 1
    assert "Traceback" not in later.stderr + said.stderr
