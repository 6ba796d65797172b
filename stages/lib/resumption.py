"""Checkpoints of an unfinished training, which lie in its workplace: how a run is stopped and resumed."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.lib.adapter_folder import parts
from stages.plumbing.problem import Problem

PARENT = os.getppid()  # who started this process: DVC, as a rule
COMPLETE = "complete"  # a file in a checkpoint that was saved to its end


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
