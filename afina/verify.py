"""Whether this machine trains the same bytes twice: a few steps in two fresh processes, and the hashes of both."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from stages.lib.files import sha256
from stages.plumbing.console import say
from stages.plumbing.params import PARAMS, load
from stages.plumbing.problem import Problem

# What train reads, in the order of its command line.
INPUTS = ("models/base", *(f"data/split/{side}.parquet" for side in ("train", "validation", "copies")))
ROWS = 4  # validation rows looked at, which change no weight


def verify(project: Path, steps: int) -> str:
    """Train `steps` steps of the experiment twice; returns the hash that both adapters have, else raises a problem."""
    from stages.lib.fitting import GUARANTEES
    from stages.lib.models import Model, device_of

    for name in INPUTS:
        if not (project / name).exists():
            raise Problem(name, "nothing there", "what the stages base and split write", "dvc repro base split")
    params = load(project / PARAMS)
    params["train"] |= {"max_steps": steps, "save_steps": steps, "keep_checkpoints": 0}
    params["train"]["evaluation"] |= {"every": steps, "rows": ROWS}
    hashes = [train_once(project, params) for _ in range(2)]
    for number, found in enumerate(hashes, 1):
        say(f"adapter of process {number}", found)
    guarantee = GUARANTEES[device_of(Model(**params["model"]))]
    if hashes[0] != hashes[1]:
        raise Problem(
            f"{steps} steps, trained twice",
            "two different adapters",
            "equal ones, byte for byte",
            f"what is guaranteed on this device: {guarantee}. On a CPU this is a fault: please report it",
        )
    say("the same bytes", f"after {steps} steps in two processes")
    say("guaranteed on this device", guarantee)
    return hashes[0]


def train_once(project: Path, params: dict) -> str:
    """The hash of the adapter that a fresh process trains, in a folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / PARAMS).write_text(yaml.safe_dump(params, allow_unicode=True), "utf-8")
        inputs = [str((project / part).resolve()) for part in INPUTS]
        done = subprocess.run(
            [sys.executable, "-m", "stages.train", *inputs, "adapter", "summary.json", "curves.tsv", "run.json"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(project.resolve())},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Problem("the training", done.stderr.strip()[-1000:], "a training to its end", "see the message above")
        return sha256(folder / "adapter/adapter_model.safetensors")
