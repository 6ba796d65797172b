"""Whether a machine and a checkout are ready for a run: each finding is one line, and says what to do."""

import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from afina.inputs import require_inputs
from stages.lib.files import read_json
from stages.plumbing.params import PARAMS, load
from stages.plumbing.problem import Problem

PACKAGES = ("dvc", "torch", "transformers", "peft", "bitsandbytes", "trl", "datasets", "evaluate", "polars", "pandera")
FREE_BYTES = 5 * 2**30


def examine(project: Path) -> bool:
    """Print a line for each thing looked at; returns whether all is well."""
    findings = [_python(), *_packages(project), *_inputs(project), _disk(project), _device()]
    for good, text in findings:
        print(f"{'✓' if good else '✗'} {text}")
    return all(good for good, _ in findings)


def _python() -> tuple[bool, str]:
    told = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return good, f"Python {told}" + ("" if good else ": 3.11 to 3.13 is wanted; make PYTHON=python3.12 setup")


def _packages(project: Path) -> list[tuple[bool, str]]:
    """Each main package against the version that constraints.txt pins."""
    pins = dict(
        line.split("==") for line in (project / "constraints.txt").read_text("utf-8").splitlines() if "==" in line
    )
    findings = []
    for name in PACKAGES:
        try:
            found = version(name).split("+")[0]
        except PackageNotFoundError:
            findings.append((False, f"{name} is missing: make setup"))
            continue
        good = found == pins[name]
        findings.append((good, f"{name} {found}" + ("" if good else f", but {pins[name]} was tested: make setup")))
    return findings


def _inputs(project: Path) -> list[tuple[bool, str]]:
    """Parameters and the files they name; a queued experiment works in a copy of the commit, which lacks some."""
    try:
        require_inputs(project)
    except Problem as problem:
        return [(False, str(problem))]
    params = load(project / PARAMS)
    path = Path(params["source"]["path"])
    findings = [(True, f"{PARAMS} is a valid recipe"), *_pin(project, params["model"]), (True, f"source {path}")]
    asked = ["git", "ls-files", "--error-unmatch", str(path)]
    tracked = subprocess.run(asked, cwd=project, check=False, capture_output=True).returncode == 0
    if not tracked and not path.is_absolute():
        findings.append(
            (True, "  for dvc exp run --queue name it by an absolute path: a queued run works in a copy of the commit")
        )
    return findings


def _pin(project: Path, model: dict[str, Any]) -> list[tuple[bool, str]]:
    """A word on a base whose revision may move, with the commit that it was when the stage base ran here."""
    revision = str(model["revision"] or "main")
    if model["origin"] != "hub" or re.fullmatch(r"[0-9a-f]{40}", revision):
        return []
    report = project / "reports/base.json"
    told = read_json(report) if report.is_file() else {}
    known = told.get("commit") if told.get("name") == model["name"] else None
    do = f"pin model.revision: {known}" if known else "the stage base will say which commit it is: pin that"
    return [(True, f"  {model['name']} at {revision}, a name that may move: {do}")]


def _disk(project: Path) -> tuple[bool, str]:
    free = shutil.disk_usage(project).free
    good = free >= FREE_BYTES
    return good, f"{free / 2**30:.0f} GiB of disk free" + ("" if good else ": base models and DVC's cache want more")


def _device() -> tuple[bool, str]:
    import torch

    if torch.cuda.is_available():
        return True, f"GPU {torch.cuda.get_device_name(0)}"
    return True, f"no GPU: torch works on {torch.get_num_threads()} CPU threads"
