"""A training that is stopped or killed, and begun again, ends in the same bytes as one that nobody disturbed."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from stages.lib.files import sha256
from tests.pipeline.conftest import merge

LONG = {"train": {"max_steps": 120, "evaluation": {"every": 30}, "save_steps": 5}}
LATE = 30  # some 22 steps are an epoch
COMMAND = [
    "python", "-m", "stages.train", "models/base", "data/split/train.parquet", "data/split/validation.parquet",
    "data/split/copies.parquet", "models/adapter", "reports/train/summary.json", "reports/train/curves.tsv",
    "reports/train/run.json",
]  # fmt: skip


@pytest.fixture(scope="module")
def project(seq2seq: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny project whose training is long enough to be disturbed."""
    clone = tmp_path_factory.mktemp("interruption") / "clone"
    shutil.copytree(seq2seq, clone)
    params = yaml.safe_load((clone / "params.yaml").read_text("utf-8"))
    (clone / "params.yaml").write_text(yaml.safe_dump(merge(params, LONG), allow_unicode=True), "utf-8")
    return clone


def step_of(complete: Path) -> int:
    return int(complete.parent.name.rsplit("-", 1)[1])


def outcome(project: Path) -> dict[str, str]:
    return {
        name: sha256(project / name)
        for name in (
            "models/adapter/adapter_model.safetensors",
            "reports/train/curves.tsv",
            "reports/train/summary.json",
        )
    }


@pytest.fixture(scope="module")
def undisturbed(project: Path) -> dict[str, str]:
    done = subprocess.run(COMMAND, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return outcome(project)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_disturbed_training_ends_in_the_same_bytes(project, undisturbed, number):
    shutil.rmtree(project / "models/adapter")
    trainer = subprocess.Popen(
        COMMAND, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 120
    # In the second epoch or later, since the order of the rows must be found again, too.
    while not [path for path in (project / "work/train").glob("*/checkpoint-*/complete") if step_of(path) >= LATE]:
        assert trainer.poll() is None, trainer.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(trainer.pid, number)
    _, errors = trainer.communicate(timeout=120)
    assert trainer.returncode != 0
    assert not (project / "models/adapter").exists()
    if number != signal.SIGKILL:
        assert f"{number.name}; everything is saved" in errors
        assert "dvc repro: the same run goes on from this step" in errors
        assert "Traceback" not in errors

    again = subprocess.run(COMMAND, cwd=project, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "resuming" in again.stdout
    assert outcome(project) == undisturbed
    assert not [path for path in (project / "work/train").iterdir() if path.is_dir()]


def test_a_state_of_other_parameters_is_not_resumed(project, undisturbed):
    stranger = project / "work/train/0123456789abcdef"
    stranger.mkdir(parents=True)
    (stranger / "run.json").write_text('{"params lora": "another"}')
    again = subprocess.run(COMMAND, cwd=project, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "0123456789abcdef is not resumed: it differs in" in again.stdout
    assert "resuming" not in again.stdout
    assert outcome(project) == undisturbed
    shutil.rmtree(stranger)
