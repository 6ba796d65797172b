"""Joining a training of several machines: this one starts its share of the processes, as machine 0 does."""

import os
import shlex
import sys
from pathlib import Path

import yaml

from stages.lib.engines import MACHINE, machine
from stages.lib.training import Train
from stages.plumbing.params import PARAMS, load
from stages.plumbing.problem import Problem


def join(project: Path, number: int) -> None:
    """Become the stage train of machine `number` (from 1); it ends when the training does."""
    accelerate = Train(**load(project / PARAMS)["train"]).accelerate
    os.environ[MACHINE] = str(number)
    if machine(accelerate) == 0:
        raise Problem(
            "afina join",
            "0, the machine that dvc runs on",
            "1 or above, on each of the others",
            "run dvc repro on machine 0",
        )
    stages = yaml.safe_load((project / "dvc.yaml").read_text("utf-8"))["stages"]
    _, *words = shlex.split(stages["train"]["cmd"])
    os.execv(sys.executable, [sys.executable, *words])  # noqa: S606 - the same process: signals find the stage
