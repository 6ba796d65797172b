"""What the tests share: the project's root, and copies of it to work in."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]

# DVC and the stages call `python` by name: it must be the interpreter that runs the tests.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two test files run at a time; a stage sets model.threads itself
os.environ["GOMP_SPINCOUNT"] = "2000"  # as stages.plumbing.run sets it
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["DVC_NO_ANALYTICS"] = "1"

# How long an example takes says more about the other processes of a shared machine than about the code.
settings.register_profile("afina", deadline=None)
settings.load_profile("afina")


def copy_project(target: Path) -> Path:
    """A copy of what git tracks (or would track) in a git repository and DVC project of its own."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    assert len(listed) > 50
    for name in listed:
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    for command in (
        ["git", "init", "-q", "-b", "main"],
        ["git", "config", "user.name", "Test"],
        ["git", "config", "user.email", "test@example.com"],
        ["git", "add", "-A"],
        ["git", "commit", "-q", "-m", "Copy the project"],
    ):
        subprocess.run(command, cwd=target, check=True)
    return target


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT
