"""Where the state of unfinished work lies, and which run it belongs to: one that was killed goes on, no other run does.

Such state is no output of the pipeline. It lies in an ignored folder of the main checkout (also when DVC runs a queued
experiment in a copy, which it deletes), under a fingerprint of all that decides the result; so it is taken up by the
very same run only, and removed once the run has succeeded.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stages.lib.files import sha256, sha256_of_folder, write_json
from stages.lib.identity import environment, sha256_of_code
from stages.plumbing.checkout import locked, main_checkout
from stages.plumbing.console import say

WORK = Path("work")
# The last is none of the project's own.
LIBRARIES = [
    "accelerate", "bitsandbytes", "datasets", "peft", "tokenizers", "torch", "transformers", "trl", "deepspeed",
]  # fmt: skip


def ingredients(stage: Path, sections: dict[str, Any], files: list[Path], folders: dict[str, Path]) -> dict[str, str]:
    """Name → hash of all that decides a result of the stage in this file: parameters, rows, models, code, libraries."""
    told = {f"params {name}": _digest(content) for name, content in sections.items()}
    told |= {f"rows {path.name}": sha256(path) for path in files}
    told |= {name: sha256_of_folder(folder) for name, folder in folders.items()}
    libraries = [name for name in LIBRARIES if find_spec(name)]
    return told | {"code": sha256_of_code(stage), "libraries": _digest(environment(libraries))}


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def folder_of(stage: str, told: dict[str, str], here: Path) -> Path:
    """The folder of a run's state, whether it is there or not."""
    return main_checkout(here) / WORK / stage / _digest(told)[:16]


@contextmanager
def workplace(stage: str, told: dict[str, str], here: Path) -> Iterator[Path]:
    """The folder of this run's state, locked while in use: a second process of the same run waits for the first."""
    folder = folder_of(stage, told, here)
    if not folder.is_dir():
        for line in strangers(folder.parent, told):
            say("an unfinished run", line)
    with locked(folder, f"another process is at this very {stage} already"):
        write_json(folder / "run.json", told)
        yield folder


def strangers(root: Path, told: dict[str, str]) -> list[str]:
    """Why each unfinished run that lies here is not this one: one line each."""
    lines = []
    for path in sorted(root.glob("*/run.json")):
        other = json.loads(path.read_text("utf-8"))
        names = sorted(name for name in told.keys() | other.keys() if told.get(name) != other.get(name))
        lines.append(f"in {path.parent.name} is not resumed: it differs in {', '.join(names)}")
    return lines


def clear(folder: Path) -> None:
    """Remove the state of a run that has succeeded."""
    # Its lock stays: one who waits for it and one who makes it anew would otherwise lock two different files.
    shutil.rmtree(folder)
