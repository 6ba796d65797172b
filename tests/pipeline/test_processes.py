"""Processes that share a batch learn what one learns from it, whatever the engine, stop together, go on together."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file

from stages.lib.files import read_json, sha256
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


COMMAND = (
    "-m stages.train base data/train.parquet data/validation.parquet data/copies.parquet adapter summary.json "
    "curves.tsv run.json"
)


def start(folder: Path, *words: str, **environment: str) -> subprocess.Popen:
    """Begin the stage train in `folder`, or what `words` say of Python."""
    path = os.pathsep.join([str(ROOT / "tests/lifted"), str(ROOT)])
    known = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    return subprocess.Popen(
        [sys.executable, *(words or COMMAND.split())],
        cwd=folder, env=known | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def trained(folder: Path) -> Path:
    """The adapter of the project in `folder`, trained to its end."""
    out, errors = (running := start(folder)).communicate(timeout=300)
    assert running.returncode == 0, out + errors
    return folder / "adapter/adapter_model.safetensors"


def insist_on_the_same(one: Path, other: Path, wanted: str = "lora_B", within: float = 1e-4) -> None:
    """Fail unless two adapters learnt the same, and something."""
    alone, shared = load_file(one), load_file(other)
    moved = {name: weight for name, weight in alone.items() if wanted in name}
    assert len(moved) > 3
    for name, weight in moved.items():
        assert (weight - shared[name]).norm() <= within * weight.norm() + 1e-7, name
    assert max(weight.abs().max() for weight in moved.values()) > 1e-4


@pytest.mark.parametrize("family", ["seq2seq", "causal"])
def test_two_processes_learn_from_a_batch_what_one_does(tmp_path, family):
    alone = trained(project(tmp_path / "one", family))
    insist_on_the_same(alone, trained(project(tmp_path / "two", family, processes=2)))
    one, two = (read_json(tmp_path / name / "summary.json") for name in ("one", "two"))
    assert two["validation_loss"] == pytest.approx(one["validation_loss"], abs=2e-6)
    assert not [path for path in (tmp_path / "two/work/train").iterdir() if path.is_dir()]


FSDP = {"distributed_type": "FSDP"}
ENGINES = {
    "fsdp": FSDP,
    "fsdp-together": FSDP | {"fsdp_config": {"fsdp_reshard_after_forward": False}},  # from one forward to the next
    "zero-2": {"distributed_type": "DEEPSPEED", "deepspeed_config": {"zero_stage": 2}},
    "zero-3": {"distributed_type": "DEEPSPEED", "deepspeed_config": {"zero_stage": 3}},
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("family", ["seq2seq", "causal"])
def test_weights_that_are_dealt_out_learn_what_whole_ones_do(tmp_path, family, engine):
    if engine.startswith("zero") and not find_spec("deepspeed"):
        pytest.skip("deepspeed is not installed; constraints.txt does not have it")
    alone = trained(project(tmp_path / "one", family))
    insist_on_the_same(alone, trained(project(tmp_path / "two", family, processes=2, accelerate=ENGINES[engine])))


def test_a_whole_model_in_half_precision_whose_weights_are_dealt_out_is_saved_in_one_piece_and_in_full(tmp_path):
    def tuned(name: str, **train: object) -> Path:
        folder = project(tmp_path / name, "causal", learning_rate=0.1, **train)
        params = yaml.safe_load((folder / "params.yaml").read_text("utf-8"))
        params["adapter"]["method"] = "full"
        params["quantization"]["compute"] = "bfloat16"
        (folder / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
        return trained(folder).with_name("model.safetensors")

    one, two = tuned("one"), tuned("two", processes=2, accelerate=FSDP)
    assert {weight.dtype for weight in load_file(two).values()} == {torch.float32}
    insist_on_the_same(one, two, wanted="proj", within=1e-2)  # of bf16 arithmetic


def test_an_engine_that_is_not_at_work_is_told_rather_than_replaced(tmp_path):
    folder = project(tmp_path, "causal", processes=2, accelerate=FSDP)
    running = start(folder, PYTHONPATH=str(ROOT))
    _, errors = running.communicate(timeout=300)
    assert running.returncode == 1
    assert errors.count("which Accelerate does not set up on cpu") == 1, errors


LONGER = {"processes": 2, "max_steps": 60, "save_steps": 5, "evaluation": {"every": 30, "rows": 4, "batch_size": 2}}


def wait_for_a_checkpoint(folder: Path, *running: subprocess.Popen) -> None:
    deadline = time.monotonic() + 240
    while not list(folder.glob("work/train/*/checkpoint-*/complete")):
        for process in running:
            assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_weights_that_are_dealt_out_go_on_to_the_same_bytes_after_a_kill(tmp_path):
    longer = LONGER | {"accelerate": FSDP, "optimizer": "adamw_torch", "learning_rate": 1e-2}
    undisturbed = sha256(trained(project(tmp_path / "undisturbed", "causal", **longer)))
    folder = project(tmp_path / "disturbed", "causal", **longer)
    running = start(folder)
    wait_for_a_checkpoint(folder, running)
    workers = psutil.Process(running.pid).children(recursive=True)
    running.kill()
    for worker in workers:
        worker.kill()
    running.communicate(timeout=60)
    assert not (folder / "adapter").exists()
    assert sha256(trained(folder)) == undisturbed


def several_machines(folder: Path, family: str, **train: object) -> Path:
    """A project for two machines; both are this one, with a free port between them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"main_process_ip": "127.0.0.1", "main_process_port": free.getsockname()[1]}
    accelerate = {"distributed_type": "MULTI_CPU", "num_machines": 2} | meeting
    project(folder, family, **{"processes": 2, "accelerate": accelerate} | train)
    (folder / "dvc.yaml").write_text(f"stages:\n  train:\n    cmd: python {COMMAND}\n", "utf-8")
    return folder


def test_two_machines_learn_from_a_batch_what_one_does(tmp_path):
    folder = several_machines(tmp_path / "two", "causal")
    other = start(folder, "-m", "afina", "join", "1")
    first = start(folder)
    for running in (first, other):
        out, errors = running.communicate(timeout=300)
        assert running.returncode == 0, out + errors
    assert "1 of 2 processes" in out
    insist_on_the_same(trained(project(tmp_path / "one", "causal")), folder / "adapter/adapter_model.safetensors")


def test_two_machines_stop_together_and_go_on_to_the_same_bytes(tmp_path):
    def both(folder: Path) -> list[subprocess.Popen]:
        return [start(folder), start(folder, "-m", "afina", "join", "1")]

    def adapter(folder: Path) -> str:
        for running in both(folder):
            out, errors = running.communicate(timeout=300)
            assert running.returncode == 0, out + errors
        return sha256(folder / "adapter/adapter_model.safetensors")

    undisturbed = adapter(several_machines(tmp_path / "undisturbed", "seq2seq", **LONGER))
    folder = several_machines(tmp_path / "disturbed", "seq2seq", **LONGER)
    running = both(folder)
    wait_for_a_checkpoint(folder, *running)
    running[0].send_signal(signal.SIGTERM)
    for process in running:
        out, errors = process.communicate(timeout=120)
        assert process.returncode == 1, out + errors
        assert errors.count("everything is saved") == 1, errors
        assert "Traceback" not in errors
    assert adapter(folder) == undisturbed


def test_a_launcher_that_loses_the_others_on_its_way_out_prints_no_traceback():
    script = """
from torch.distributed.elastic.agent.server import api
from stages.lib.processes import silence_launcher
silence_launcher()
try:
    raise OSError("the store is gone")
except OSError:
    api.logger.exception("Error waiting on exit barrier")
"""
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_machine_that_waits_for_others_can_be_stopped(tmp_path, number):
    running = start(several_machines(tmp_path / "two", "causal"))
    time.sleep(20)
    assert running.poll() is None, running.communicate()
    running.send_signal(number)
    out, errors = running.communicate(timeout=20)
    assert running.returncode == 1
    assert "Traceback" not in errors
    assert "before the processes of all machines were there" in out


def test_a_machine_that_is_none_of_them_can_not_join(tmp_path):
    running = start(several_machines(tmp_path, "causal"), "-m", "afina", "join", "2")
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "2 machines train together" in errors


def test_a_machine_that_sees_another_checkout_says_so(tmp_path):
    folder = several_machines(tmp_path / "first", "causal")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(folder, elsewhere)
    first, other = start(folder), start(elsewhere, "-m", "afina", "join", "1")
    for running in (other, first):
        _, errors = running.communicate(timeout=300)
        assert running.returncode == 1
        assert "one checkout that all machines see" in errors
        assert "Traceback" not in errors


def test_two_processes_stop_together_when_asked_and_go_on_to_the_same_bytes(tmp_path):
    undisturbed = sha256(trained(project(tmp_path / "undisturbed", "seq2seq", **LONGER)))
    folder = project(tmp_path / "disturbed", "seq2seq", **LONGER)
    running = start(folder)
    wait_for_a_checkpoint(folder, running)
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
