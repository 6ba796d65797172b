"""Two processes that share a batch learn what one learns from it, stop together and go on together."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import yaml
from safetensors.torch import load_file

from stages.lib.files import sha256
from tests.lib.test_fitting import ROOT, ROWS, recipe
from tests.lib.tiny import model, tokenizer

STEP = {
    "max_steps": 1, "optimizer": "sgd", "learning_rate": 1.0, "max_grad_norm": 1e9, "warmup": 0,
    "schedule": "constant", "batch_size": 8, "accumulation": 2, "group_by_length": True,
    "evaluation": {"every": 1, "rows": 4, "batch_size": 2},
}  # fmt: skip


def project(folder: Path, family: str, **train: object) -> Path:
    """A folder with what the stage train reads."""
    (folder / "data").mkdir(parents=True)
    model(family).save_pretrained(folder / "base")
    tokenizer(family).save_pretrained(folder / "base")
    copies = [{**ROWS[0], "copy": 1, "paraphrase": None}]
    for side, rows in (("train", ROWS[1:]), ("validation", ROWS[:4]), ("copies", copies)):
        pl.DataFrame(rows, infer_schema_length=None).write_parquet(folder / f"data/{side}.parquet")
    params = recipe(family, train=STEP | train)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, allow_unicode=True), "utf-8")
    return folder


def start(folder: Path) -> subprocess.Popen:
    command = [
        sys.executable, "-m", "stages.train", "base", "data/train.parquet", "data/validation.parquet",
        "data/copies.parquet", "adapter", "summary.json", "curves.tsv", "run.json",
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def trained(folder: Path) -> Path:
    """The adapter of the project in `folder`, trained to its end."""
    out, errors = (running := start(folder)).communicate(timeout=300)
    assert running.returncode == 0, out + errors
    return folder / "adapter/adapter_model.safetensors"


@pytest.mark.parametrize("family", ["seq2seq", "causal"])
def test_two_processes_learn_from_a_batch_what_one_does(tmp_path, family):
    alone = load_file(trained(project(tmp_path / "one", family)))
    shared = load_file(trained(project(tmp_path / "two", family, processes=2)))
    moved = {name: weight for name, weight in alone.items() if "lora_B" in name}
    assert len(moved) > 3
    for name, weight in moved.items():
        assert (weight - shared[name]).norm() <= 1e-4 * weight.norm() + 1e-7, name
    assert max(weight.abs().max() for weight in moved.values()) > 1e-4
    assert not [path for path in (tmp_path / "two/work/train").iterdir() if path.is_dir()]


def test_two_processes_stop_together_when_asked_and_go_on_to_the_same_bytes(tmp_path):
    longer = {"processes": 2, "max_steps": 60, "save_steps": 5, "evaluation": {"every": 30, "rows": 4, "batch_size": 2}}
    undisturbed = sha256(trained(project(tmp_path / "undisturbed", "seq2seq", **longer)))
    folder = project(tmp_path / "disturbed", "seq2seq", **longer)
    running = start(folder)
    deadline = time.monotonic() + 240
    while not list(folder.glob("work/train/*/checkpoint-*/complete")):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.send_signal(signal.SIGTERM)
    out, errors = running.communicate(timeout=120)
    assert running.returncode == 1, out + errors
    assert errors.count("SIGTERM; everything is saved") == 1, errors
    assert "Traceback" not in errors
    assert not (folder / "adapter").exists()
    assert sha256(trained(folder)) == undisturbed


def test_what_goes_wrong_in_two_processes_is_told_once(tmp_path):
    folder = project(tmp_path / "wrong", "seq2seq", processes=2, learning_rate=1e30, max_steps=4)
    running = start(folder)
    _, errors = running.communicate(timeout=300)
    assert running.returncode == 1
    assert errors.count("a finite loss") == 1, errors
    assert "Traceback" not in errors
