"""Kill trainings at random moments, begin them again with `dvc repro`, and compare the bytes of the adapters.

    python bench/kills.py [--family seq2seq causal] [--trials 30] [--first 0] [--seed 1] [--kinds KIND ...]

A tiny project (a copy of this one with little data) is run once undisturbed; then, each trial at a moment drawn by the
seed and the trial's number:

- group: `kill -9` on the whole process group of `dvc repro train`, then `dvc repro train`.
- interrupt, terminate: the same with SIGINT and SIGTERM.
- dvc: SIGKILL or SIGTERM on DVC alone, and `dvc repro train` at once, while the trainer still lives.
- queue: `kill -9` on a queued experiment's processes, then the same experiment queued again (one trial a family).

`--first` goes on from a trial, so that thirty can be run in portions. Exits 1 when any adapter differs.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

import psutil
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

LONG = {"train": {"max_steps": 150, "evaluation": {"every": 30}, "save_steps": 10}}


def prepare(family: str, folder: Path) -> Path:
    """A tiny project whose stages before train have run."""
    from tests.pipeline.conftest import CAUSAL, merge, tiny_project

    project = tiny_project(folder / family, merge(LONG, CAUSAL if family == "causal" else {}))
    subprocess.run(["dvc", "repro", "-q", "split", "base"], cwd=project, check=True, stdout=subprocess.DEVNULL)
    for command in (["git", "add", "-A"], ["git", "commit", "-qm", "Prepare"]):
        subprocess.run(command, cwd=project, check=True)
    return project


def adapter(project: Path) -> str:
    """The sha256 of the adapter's weights."""
    return hashlib.sha256((project / "models/adapter/adapter_model.safetensors").read_bytes()).hexdigest()


def forget(project: Path) -> None:
    """Make DVC forget that train ever ran, in its lock, in its cache of runs and on the disk."""
    lock = yaml.safe_load((project / "dvc.lock").read_text("utf-8"))
    lock["stages"].pop("train", None)
    (project / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False), "utf-8")
    for name in ("models/adapter", ".dvc/cache/runs", "work"):
        shutil.rmtree(project / name, ignore_errors=True)


def start(project: Path) -> subprocess.Popen:
    """`dvc repro train` in a process group of its own."""
    with (project / "kills.log").open("ab") as log:
        return subprocess.Popen(
            ["dvc", "repro", "train"], cwd=project, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )


def trainers(project: Path) -> list[psutil.Process]:
    """The trainers that live in this project."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "cwd"])
        if "stages.train" in (process.info["cmdline"] or []) and (process.info["cwd"] or "").startswith(str(project))
    ]


def saved(project: Path) -> int:
    """The step of the newest complete checkpoint, 0 without one."""
    steps = [int(path.parent.name.rsplit("-", 1)[1]) for path in project.glob("work/train/*/checkpoint-*/complete")]
    return max(steps, default=0)


def finish(project: Path) -> str:
    """`dvc repro train` to its end; returns what it printed, empty if it failed."""
    done = subprocess.run(["dvc", "repro", "train"], cwd=project, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout[-3000:], done.stderr[-3000:])
        return ""
    return done.stdout


def group_trial(
    project: Path, chance: random.Random, seconds: float, number: signal.Signals = signal.SIGKILL
) -> tuple[str, bool]:
    """Kill everything at once at a random moment, and begin again; returns where it struck and whether it recovered."""
    forget(project)
    dvc = start(project)
    wanted = chance.randrange(0, LONG["train"]["max_steps"], LONG["train"]["save_steps"])
    while saved(project) < wanted and dvc.poll() is None:
        time.sleep(0.02)
    # From a checkpoint on for the time of two; from the start for the time in which the trainer loads and begins.
    time.sleep(chance.uniform(0, 0.6 * seconds if not wanted else 0.05 * seconds))
    alive = dvc.poll() is None
    if alive:
        os.killpg(dvc.pid, number)
    dvc.wait()
    while trainers(project):  # a trainer that is asked to stop writes its state first
        time.sleep(0.05)
    where = f"after checkpoint {saved(project)}" if alive else "after the end"
    return where, bool(finish(project))


def dvc_trial(project: Path, chance: random.Random, seconds: float) -> tuple[str, bool]:
    """Kill DVC alone while its trainer works, and begin again at once; two trainers never work at a time."""
    forget(project)
    dvc = start(project)
    deadline = time.monotonic() + 4 * seconds + 60
    while saved(project) < chance.randrange(10, 60, 10) and dvc.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    number = chance.choice([signal.SIGKILL, signal.SIGTERM])
    if dvc.poll() is not None:
        return "after the end", bool(finish(project))
    os.kill(dvc.pid, number)
    dvc.wait()
    lived = bool(trainers(project))
    good = bool(finish(project))
    return f"{number.name} on dvc, trainer {'still lived' if lived else 'was gone'}", good and not trainers(project)


def queue_trial(project: Path, chance: random.Random, seconds: float) -> tuple[str, bool]:
    """Kill a queued experiment with all its processes, queue it again, and put its adapter in place."""
    del chance
    forget(project)
    shutil.rmtree(project / "models/adapter", ignore_errors=True)
    subprocess.run(["git", "checkout", "-q", "dvc.lock"], cwd=project, check=True)
    # The same parameters as the undisturbed run's: -S wants some, and these change nothing in train.
    change = ["-S", "gate.min_delta=0.04"]
    run = ["dvc", "exp", "run", "--queue", "-q", *change]
    subprocess.run([*run, "-n", "first"], cwd=project, check=True)
    subprocess.run(["dvc", "queue", "start", "-q"], cwd=project, check=True)
    deadline = time.monotonic() + 6 * seconds + 120
    while not saved(project):
        if time.monotonic() > deadline:
            return "the queue never trained", False
        time.sleep(0.1)
    for process in trainers(project):
        for parent in [process, *process.parents()]:
            if parent.pid not in {1, os.getpid()} and parent.cwd().startswith(str(project)):
                parent.kill()
    step = saved(project)
    subprocess.run(["dvc", "queue", "stop", "--kill", "-q"], cwd=project, check=False)
    subprocess.run(["dvc", "queue", "remove", "--all", "-q"], cwd=project, check=False)
    subprocess.run([*run, "-n", "second"], cwd=project, check=True)
    subprocess.run(["dvc", "queue", "start", "-q"], cwd=project, check=True)
    while True:
        listed = subprocess.run(
            ["dvc", "queue", "status"], cwd=project, capture_output=True, text=True, check=False
        ).stdout
        line = next((line for line in listed.splitlines() if " second " in line), "")
        if "Success" in line or "Failed" in line or time.monotonic() > deadline + 10 * seconds:
            break
        time.sleep(1)
    good = "Success" in line
    if good:
        subprocess.run(["dvc", "exp", "apply", "-q", "second"], cwd=project, check=True)
    return f"killed after checkpoint {step}", good


KINDS = {
    "group": group_trial,
    "interrupt": partial(group_trial, number=signal.SIGINT),
    "terminate": partial(group_trial, number=signal.SIGTERM),
    "dvc": dvc_trial,
    "queue": queue_trial,
}


def campaign(family: str, folder: Path, asked: argparse.Namespace) -> bool:
    """All trials of one family; prints the counts and returns whether every adapter came out the same."""
    project = prepare(family, folder)
    forget(project)
    begun = time.monotonic()
    if not finish(project):
        return False
    seconds, wanted = time.monotonic() - begun, adapter(project)
    print(f"{family}: undisturbed {seconds:.0f} s, adapter {wanted[:16]}", flush=True)
    good = True
    for kind in asked.kinds:
        counts: Counter[str] = Counter()
        for trial in range(asked.first, asked.first + (1 if kind == "queue" else asked.trials)):
            chance = random.Random(f"{asked.seed} {kind} {trial}")
            where, recovered = KINDS[kind](project, chance, seconds)
            same = recovered and adapter(project) == wanted
            print(f"  {kind} {trial}: {where}: {'same bytes' if same else 'OTHER BYTES'}", flush=True)
            counts["same" if same else "other"] += 1
            good &= same
        print(json.dumps({"family": family, "kind": kind, **counts}), flush=True)
    return good


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", nargs="+", choices=["seq2seq", "causal"], default=["seq2seq", "causal"])
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=["group", "dvc"])
    with tempfile.TemporaryDirectory() as name:
        told = parser.parse_args()
        results = [campaign(family, Path(name), told) for family in told.family]
    sys.exit(0 if all(results) else 1)
