"""The state of an unfinished training: where it lies, which run it belongs to, and how a run is stopped and resumed.

A training's state is no output of the pipeline. It lies in an ignored folder of the main checkout (also when DVC runs
a queued experiment in a copy, which it deletes), under a fingerprint of all that decides the result; so it is resumed
by the very same run only, and removed once the run has succeeded.
"""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stages.lib.adapter_folder import parts
from stages.lib.files import sha256, sha256_of_folder, write_json
from stages.plumbing.checkout import main_checkout
from stages.plumbing.console import say
from stages.plumbing.problem import Problem

WORK = Path("work/train")
LIBRARIES = ["accelerate", "bitsandbytes", "datasets", "peft", "tokenizers", "torch", "transformers", "trl"]
PARENT = os.getppid()  # who started this process: DVC, as a rule
COMPLETE = "complete"  # a file in a checkpoint that was saved to its end


def ingredients(sections: dict[str, Any], files: list[Path], base: Path) -> dict[str, str]:
    """Name → hash of everything that decides a training: parameters, rows, base model, code, libraries."""
    code = {
        name: sha256(Path(module.__file__))
        for name, module in sys.modules.items()
        if name.startswith("stages.lib.") and module.__file__
    }
    told = {f"params {name}": _digest(content) for name, content in sections.items()}
    told |= {f"rows {path.name}": sha256(path) for path in files}
    return told | {
        "base model": sha256_of_folder(base),
        "code": _digest(code),
        "libraries": _digest({name: version(name) for name in LIBRARIES}),
    }


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def folder_of(told: dict[str, str], here: Path) -> Path:
    """The folder of a run's state, whether it is there or not."""
    return main_checkout(here) / WORK / _digest(told)[:16]


@contextmanager
def workplace(told: dict[str, str], here: Path) -> Iterator[Path]:
    """The folder of this run's state, locked while in use: a second trainer of the same run waits for the first."""
    folder = folder_of(told, here)
    root = folder.parent
    if not folder.is_dir():
        for line in strangers(root, told):
            say("an unfinished run", line)
    folder.mkdir(parents=True, exist_ok=True)
    with (root / f"{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting", "another process trains this very run")
            fcntl.flock(lock, fcntl.LOCK_EX)
        folder.mkdir(exist_ok=True)  # the first trainer may have finished and cleared it
        write_json(folder / "run.json", told)
        yield folder


def strangers(root: Path, told: dict[str, str]) -> list[str]:
    """Why each unfinished training that lies here is not this run: one line each."""
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


def keep_checkpoints(folder: Path, adapter: Path, count: int) -> None:
    """Copy the weights of the last `count` complete checkpoints into the folder of the adapter.

    Each is an adapter of its own. Times and paths of the trainer's files stay behind: equal runs give equal bytes.
    """
    found = sorted(folder.glob(f"checkpoint-*/{COMPLETE}"), key=lambda path: int(path.parent.name.rsplit("-", 1)[1]))
    for path in found[-count:] if count else []:
        target = adapter / "checkpoints" / path.parent.name
        target.mkdir(parents=True)
        weights, settings = parts(adapter)
        shutil.copyfile(path.parent / weights.name, target / weights.name)
        shutil.copyfile(settings, target / settings.name)


# What torch and safetensors say when a write fails: their own words, or the number of the system's error in passing.
UNWRITTEN = ("No space left", "File too large", "Disk quota", "unexpected pos", "file write failed", "os error 28")


@contextmanager
def room(folder: Path) -> Iterator[None]:
    """Turn whatever a full disk looks like, met while something is written to `folder`, into one problem."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        if not any(word in str(error) for word in UNWRITTEN):
            raise
        raise Problem(
            str(folder),
            f"a disk that took no more ({' '.join(str(error).split())[:120]})",
            "room for a checkpoint beside the last good one, which is kept",
            "make room, then dvc repro: the same run goes on from its last saved state",
        ) from error


def clear_unfinished(folder: Path) -> None:
    """Remove the checkpoints that a killed process left half-written."""
    for path in folder.glob("checkpoint-*"):
        if not (path / COMPLETE).is_file():
            shutil.rmtree(path)


def last_complete(folder: Path) -> Path | None:
    """The newest checkpoint that was saved to its end."""
    found = [path.parent for path in folder.glob(f"checkpoint-*/{COMPLETE}")]
    return max(found, key=lambda path: int(path.name.rsplit("-", 1)[1]), default=None)


def keeper(
    every: int,
    agreed: Callable[[bool], bool] = lambda asked: asked,
    together: Callable[[], None] = lambda: None,
) -> Any:
    """The callback that marks saved checkpoints as complete, and stops cleanly when asked to.

    Asked means SIGINT, SIGTERM, or that the process that started this one (DVC) is gone. The run stops at the next
    step that is a multiple of `every` (steps between two log entries), so that a resumed log equals an undisturbed one;
    a second signal ends the process at once. Where several processes train, `agreed` says whether any of them was
    asked, and `together` waits for all.
    """
    from transformers import TrainerCallback

    class Keeper(TrainerCallback):
        def __init__(self) -> None:
            self.asked = ""
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self.ask)

        def ask(self, number: int, frame: object) -> None:
            del frame
            self.asked = signal.Signals(number).name
            signal.signal(number, signal.SIG_DFL)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if os.getppid() != PARENT:
                self.asked = "the end of the process that started it"
            if state.global_step % every or state.global_step >= state.max_steps:
                return
            if agreed(bool(self.asked)):
                self.asked = self.asked or "another process was asked to stop"
                control.should_save = control.should_training_stop = True

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            together()  # each process saves its own part
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE).touch()

        def stopped(self, state: Any) -> bool:
            """Whether the run ended because it was asked to, before its last step."""
            return bool(self.asked) and state.global_step < state.max_steps

    return Keeper()
