"""A whole project at tiny scale, run by DVC itself, for each model family."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conftest import copy_project

ROWS = 400  # lines of the sample catalogue, dirt included
TEXTS = 600  # lines of the sample corpus

TINY = {
    "model": {
        "threads": 1,
        "scratch": {
            "vocabulary": 600, "width": 32, "feed_forward": 64, "layers": 1, "heads": 2, "positions": 256,
            "steps": 30, "batch_size": 8, "learning_rate": 3e-3,
        }
    },
    "prompt": {"max_response_tokens": 96},
    "lora": {"r": 4, "alpha": 8},
    "train": {"max_steps": 12, "warmup": 2, "evaluation": {"every": 6, "rows": 8, "batch_size": 8}, "save_steps": 5},
    "generation": {"max_new_tokens": 16},
    "expectations": {"min_rows": 50, "distinct": {}},
    "metrics": {"resamples": 100},
    # Twelve steps teach next to nothing: whatever came of them is to be merged.
    "gate": {"on_no": "merge"},
    "merge": {"parity_rows": 4},
}  # fmt: skip

CAUSAL = {
    "model": {"family": "causal"},
    "lora": {"targets": ["q_proj", "v_proj", "up_proj"]},
    "train": {"packing": True, "group_by_length": False},
}


def merge(first: dict, second: dict) -> dict:
    """`first` with the values of `second`, section by section; an empty mapping empties."""
    return first | {
        key: merge(first[key], value)
        if value and isinstance(value, dict) and isinstance(first.get(key), dict)
        else value
        for key, value in second.items()
    }


def run(project: Path, *command: str, check: bool = True, env: dict[str, str] | None = None) -> str:
    """Run a command in the project, with further variables `env`, and return all it printed."""
    done = subprocess.run(
        command, cwd=project, capture_output=True, text=True, timeout=900, check=False, env=os.environ | (env or {})
    )
    said = done.stdout + done.stderr
    assert not check or done.returncode == 0, said[-5000:]
    return said


def tiny_project(target: Path, changes: dict) -> Path:
    """A copy of the project with little data, a small model and `changes` to the local recipe."""
    copy_project(target)
    recipe = yaml.safe_load((target / "recipes/local.yaml").read_text("utf-8"))
    (target / "params.yaml").write_text(
        yaml.safe_dump(merge(merge(recipe, TINY), changes), allow_unicode=True, sort_keys=False), "utf-8"
    )
    for name, lines in (("products.jsonl", ROWS), ("corpus.txt", TEXTS)):
        path = target / "data/samples" / name
        path.write_text("".join(path.read_text("utf-8").splitlines(keepends=True)[:lines]), "utf-8")
    (target / "dvc.lock").unlink(missing_ok=True)
    run(target, "git", "commit", "-qam", "Make it tiny")
    return target


@pytest.fixture(scope="session")
def seq2seq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny T5 project after `dvc repro`, committed."""
    return _done(tiny_project(tmp_path_factory.mktemp("seq2seq") / "clone", {}))


@pytest.fixture(scope="session")
def causal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama project after `dvc repro`, committed; it packs its rows."""
    return _done(tiny_project(tmp_path_factory.mktemp("causal") / "clone", CAUSAL))


def _done(project: Path) -> Path:
    run(project, "dvc", "repro")
    run(project, "git", "add", "-A")
    run(project, "git", "commit", "-qm", "Run it")
    return project
