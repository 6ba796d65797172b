"""Joining a training of several machines: this one starts its share of the processes, as machine 0 does."""

import os
import shlex
import sys
from pathlib import Path

import yaml

from stages.lib.engines import MACHINE, machines
from stages.lib.training import Train
from stages.plumbing.params import PARAMS, load
from stages.plumbing.problem import Problem


def join(project: Path, number: int) -> None:
    """Become the stage train of machine `number` (from 1); it ends when the training does."""
    count = machines(Train(**load(project / PARAMS)["train"]).accelerate)
    if number >= count:
        raise Problem(
            f"afina join {number}",
            f"params.yaml, in which {count} machines train together (train.accelerate.num_machines)",
            "a number from 1, below that; 0 is the machine that dvc runs on",
            "see docs/processes.md",
        )
    os.environ[MACHINE] = str(number)
    stages = yaml.safe_load((project / "dvc.yaml").read_text("utf-8"))["stages"]
    _, *words = shlex.split(stages["train"]["cmd"])
    os.execv(sys.executable, [sys.executable, *words])  # noqa: S606 - the same process: signals find the stage
